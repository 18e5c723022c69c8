"""The state of a training, of any method."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.methods.method import Method, Params


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes. With the config, it determines the rest of the run."""

    step: Array  # steps done
    params: Params  # {group: tree}
    optimizers: dict[str, Any]  # {group: state of its optimiser}
    other: dict[str, Any]  # what the method moves without a gradient
    ema: Params | None  # moving average of the translating groups, if one is kept

    def best(self, method: Method) -> Params:
        """The groups that pictures are made with: their moving average, if there is one."""
        return translating(method, self.params) if self.ema is None else self.ema


def translating(method: Method, params: Params) -> Params:
    """Return the groups that translating needs."""
    return {group: params[group] for group in method.translating}


def create_state(method: Method, train: ConfigDict, seed: int) -> TrainState:
    """Return the state before the first step; `train` is the config's section. To be jitted."""
    params, other = method.init(jax.random.key(seed))
    optimizers = {
        group: optimizer.init(params[group])
        for group, optimizer in method.optimizers(train).items()
    }
    ema = jax.tree.map(jnp.copy, translating(method, params)) if train.ema_decay else None
    return TrainState(jnp.zeros((), jnp.int32), params, optimizers, other, ema)
