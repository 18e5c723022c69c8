"""A method that uses what CycleGAN does not: the seam's other doors.

Two groups moved by one player, a style code, a phase that begins at step 3, one direction alone, an
input of its own, a fixed array, and state that moves without a gradient.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.methods.method import Batch, Context, Input, Method, Params, Player, Terms

FIELDS = {"model.width": 4, "loss.weight": 0.5, "train.learning_rate": 1e-2}
SECOND_PHASE = 3


def darken(picture: np.ndarray) -> np.ndarray:
    return picture // 2


@dataclass(frozen=True)
class Toy(Method):
    weight: float
    image_size: tuple[int, int]

    inputs = MappingProxyType({"a": Input("a"), "b": Input("b"), "dark": Input("b", darken)})
    directions = ("a2b",)
    translating = ("encoder", "decoder")
    phases = ("alone", "together")
    style_size = 2
    looks = ("brightness",)

    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        height, width = config.data.image_size
        return cls(config.loss.weight, (height, width))

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        keys = jax.random.split(key, 3)
        params = {
            "encoder": {"kernel": 0.3 * jax.random.normal(keys[0], (3, 4))},
            "decoder": {"kernel": 0.3 * jax.random.normal(keys[1], (6, 3))},
            "critic": {"kernel": jax.random.normal(keys[2], (3,))},
        }
        return params, {"turns": jnp.zeros((), jnp.int32)}

    def phase(self, step: int) -> str:
        return self.phases[step >= SECOND_PHASE]

    def players(self, phase: str) -> tuple[Player, ...]:
        painter = Player("painter", ("encoder", "decoder"), self.painter_loss)
        critic = Player("critic", ("critic",), self.critic_loss)
        return (painter,) if phase == "alone" else (critic, painter)

    def draw(self, key: Array, batch: Batch) -> Any:
        return {"style": jax.random.normal(key, (len(batch["a"]), self.style_size))}

    def refresh(self, player: str, params: Params, other: Any) -> Any:
        return {"turns": other["turns"] + 1}

    def fixed(self) -> Any:
        return {"grey": np.full(3, 1 / 3, np.float32)}

    def painter_loss(self, params: Params, first: Any, context: Context) -> tuple[Array, Terms]:
        fake, _ = self.translate(params, context.batch["a"], "a2b", context.noise["style"])
        dark = jnp.square(fake @ context.fixed["grey"] - context.batch["dark"].mean(-1)).mean()
        judged = jnp.square((fake @ params["critic"]["kernel"]).mean((1, 2)) - 1).mean()
        total = dark + self.weight * judged
        return total, {"total": total, "dark": dark, "judged": judged}

    def critic_loss(self, params: Params, first: Any, context: Context) -> tuple[Array, Terms]:
        fake, _ = self.translate(params, context.batch["a"], "a2b", context.noise["style"])
        kernel = params["critic"]["kernel"]
        real = jnp.square((context.batch["b"] @ kernel).mean((1, 2)) - 1).mean()
        total = real + jnp.square((fake @ kernel).mean((1, 2))).mean()
        return total, {"total": total}

    def select(self, groups: Params, direction: str) -> Any:
        return {name: groups[name] for name in self.translating}

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        assert styles is not None
        code = jax.nn.relu(pictures @ weights["encoder"]["kernel"])
        style = jnp.broadcast_to(styles[:, None, None], (*code.shape[:3], self.style_size))
        result = jnp.tanh(jnp.concatenate([code, style], -1) @ weights["decoder"]["kernel"])
        return result, {"brightness": result.mean(-1)}
