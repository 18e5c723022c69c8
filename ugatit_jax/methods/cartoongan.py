"""CartoonGAN (Chen et al., CVPR 2018): photographs (A) into cartoons (B), and no way back.

    min_G max_D  L_adv(G, D) + omega L_con(G, D)

Content alone comes first; then the discriminator and the generator move in turn. The discriminator
is shown cartoons, translations, and cartoons whose edges are smoothed, which it is to refuse too.
The adversarial term is that of the authors' implementation, least squares; the paper's is
cross-entropy.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.edges import smooth_edges
from ugatit_jax.methods import losses, perceptual, pool, rules
from ugatit_jax.methods.losses import weighted_sum
from ugatit_jax.methods.method import Batch, Context, Input, Method, Params, Player, Terms
from ugatit_jax.methods.optimizer import learning_rate
from ugatit_jax.models import INITIALIZERS, compute_dtype, rematerialized, vgg
from ugatit_jax.models.cartoon import CartoonDiscriminator, CartoonGenerator

_RULES = (
    rules.at_least_one("model.base_width", "model.discriminator_width"),
    rules.not_negative("model.residual_blocks"),
    pool.RULE,
    rules.not_negative("loss.adversarial", "loss.content"),
    rules.not_negative("train.content_steps", "train.content_learning_rate"),
    rules.one_of("model.initializer", INITIALIZERS),
)


@dataclass(frozen=True)
class CartoonGAN(Method):
    """The networks, without parameters, and the weights of the objective's terms.

    Groups: 'generators' {'a2b'}; 'discriminators' {'b'}. Beside them moves 'pool', of translations.
    """

    generator: CartoonGenerator
    discriminator: CartoonDiscriminator
    weights: ConfigDict  # the config's section `loss`
    content_steps: int
    image_size: tuple[int, int]

    inputs = MappingProxyType({"a": Input("a"), "b": Input("b"), "edges": Input("b", smooth_edges)})
    directions = ("a2b",)
    phases = ("content", "adversarial")
    shown = MappingProxyType(
        {
            "content alone": "initialization/content",
            "D": "discriminator/adversarial",
            "G": "generator/adversarial",
            "content": "generator/content",
        }
    )

    @classmethod
    def check(cls, config: ConfigDict) -> None:
        """Raise `InputError` for the first field whose value cannot work."""
        rules.check(config, _RULES)
        alone, steps = config.train.content_steps, config.train.steps
        if alone >= steps:
            raise InputError(
                f"config.train.content_steps is {alone}, and the training ends at step {steps} "
                "(config.train.steps), before there is anything but content; say fewer"
            )
        perceptual.check(config, "content_network", "content_layer")

    @classmethod
    def architecture(cls, config: ConfigDict) -> set[str]:
        """Return the fields that parameters depend on, and the pool's shape."""
        return pool.architecture(config)

    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        """Return the method that a (checked) config describes; see `Method`."""
        model, remat = config.model, config.train.remat
        height, width = config.data.image_size
        common: dict[str, Any] = {
            "kernel_init": INITIALIZERS[model.initializer],
            "dtype": compute_dtype(config.dtype),
        }
        generator = rematerialized(CartoonGenerator, remat)(
            model.base_width, model.residual_blocks, **common
        )
        discriminator = rematerialized(CartoonDiscriminator, remat)(
            model.discriminator_width, **common
        )
        alone = config.train.content_steps
        return cls(generator, discriminator, config.loss, alone, (height, width))

    @property
    def dtype(self) -> DTypeLike:  # type: ignore[override]
        """What the networks compute in."""
        return self.generator.dtype

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Draw both networks' parameters; the pool is empty."""
        picture = jnp.zeros((1, *self.image_size, 3))
        of_generator, of_discriminator = jax.random.split(key)
        params = {
            "generators": {"a2b": self.generator.init(of_generator, picture)["params"]},
            "discriminators": {"b": self.discriminator.init(of_discriminator, picture)["params"]},
        }
        empty = {"pool": pool.empty_pool(self.weights.pool, picture[0])}
        return params, empty if self.weights.pool else {}

    def schedules(self, train: ConfigDict) -> dict[str, optax.Schedule]:
        """Return the rates: of content alone, and of the rest as if it had begun with that."""
        alone = train.content_steps
        rest = learning_rate(train, train.steps - alone)
        first = learning_rate(train, alone, train.content_learning_rate)
        return {
            "generators": optax.join_schedules([first, rest], [alone]),
            "discriminators": rest,
        }

    def phase(self, step: int) -> str:
        """Return 'content' for the first steps, and 'adversarial' then."""
        return self.phases[step >= self.content_steps]

    def players(self, phase: str) -> tuple[Player, ...]:
        """Return the generator by itself, or after the discriminator."""
        if phase == "content":
            alone = Player("initialization", ("generators",), self.content_loss, through=True)
            return (alone,)
        return (
            Player("discriminator", ("discriminators",), self.discriminator_loss),
            Player("generator", ("generators",), self.generator_loss, through=True),
        )

    def first(self, params: Params, batch: Batch, noise: Any) -> Array:
        """Translate: pictures [N, H, W, 3] of B."""
        return self.generate(params["generators"]["a2b"], batch["a"])

    def fixed(self) -> Any:
        """Return the parameters of what content is compared by."""
        params = perceptual.open_network(self.weights.content_network).params
        return vgg.up_to(params, self.weights.content_layer)

    def describe_fixed(self) -> dict[str, dict[str, str]]:
        """Return what content is compared by."""
        loss = self.weights
        return {"content": perceptual.describe(loss.content_network, loss.content_layer)}

    def content(self, first: Array, context: Context) -> Array:
        """Return L_con: the L1 distance of a translation's features to its input's."""
        layer, dtype = self.weights.content_layer, self.generator.dtype
        translated, real = (
            vgg.features(context.fixed, pictures, layer, dtype)
            for pictures in (first, context.batch["a"])
        )
        return jnp.abs(translated - real).mean()

    def content_loss(self, params: Params, first: Array, context: Context) -> tuple[Array, Terms]:
        """Return what the generator begins with: omega L_con alone."""
        content = self.content(first, context)
        return self.weights.content * content, {"content": content}

    def generator_loss(self, params: Params, first: Array, context: Context) -> tuple[Array, Terms]:
        """Return L_adv, as the generator sees it, + omega L_con; and both terms."""
        logits = self.logits(params["discriminators"]["b"], first)
        adversarial, content = losses.least_squares(logits, 1), self.content(first, context)
        total = self.weights.adversarial * adversarial + self.weights.content * content
        return total, {"total": total, "adversarial": adversarial, "content": content}

    def pooled(self, first: Array) -> Any:
        """Return the translations."""
        return first

    def exchange(self, other: Any, pooled: Any, key: Array) -> tuple[Any, Any]:
        """Let the discriminator see earlier translations in the place of half of them."""
        if not self.weights.pool:
            return other, pooled
        pools, seen = pool.exchange(other["pool"], pooled, key)
        return {"pool": pools}, seen

    def refresh(self, player: str, params: Params, other: Any) -> Any:
        """Keep the pool empty while content is alone: the discriminator sees none of that."""
        if player != "initialization" or not self.weights.pool:
            return other
        return {"pool": other["pool"] | {"count": jnp.zeros((), jnp.int32)}}

    def discriminator_loss(
        self, params: Params, first: Array, context: Context
    ) -> tuple[Array, Terms]:
        """Return L_adv as the discriminator sees it: of cartoons, translations, smoothed edges."""
        shown = [context.batch["b"], context.seen, context.batch["edges"]]
        logits = self.logits(params["discriminators"]["b"], jnp.concatenate(shown))
        real, fake, edges = jnp.split(logits, 3)
        parts = {
            "real": losses.least_squares(real, 1),
            "fake": losses.least_squares(fake, 0),
            "edges": losses.least_squares(edges, 0),
        }
        return weighted_sum({"adversarial": parts}, {"adversarial": self.weights.adversarial})

    @property
    def undecided(self) -> dict[str, float]:
        """Of cartoons and translations, which it has to tell apart; edges are others' business."""
        loss = losses.UNDECIDED[losses.least_squares] / 2
        return {f"discriminator/adversarial/{kind}": loss for kind in ("real", "fake")}

    def generate(self, params: Any, pictures: Array) -> Array:
        """Translate pictures [N, H, W, 3] with the generator's parameters."""
        return cast(Array, self.generator.apply({"params": params}, pictures))

    def logits(self, params: Any, pictures: Array) -> Array:
        """Return what the discriminator says of pictures [N, H, W, 3]: [N, h, w]."""
        return cast(Array, self.discriminator.apply({"params": params}, pictures))

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate; there is nothing else to look at."""
        return self.generate(weights, pictures), {}
