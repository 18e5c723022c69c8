"""CycleGAN (Zhu et al., ICCV 2017), with the settings of its authors' PyTorch implementation.

    min_G max_D  L_gan + lambda L_cycle + 0.5 lambda L_identity

The generators move first, then the discriminators, on translations from before the generators'
move; and these come out of a pool of earlier ones.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.methods import losses, pool, rules
from ugatit_jax.methods.interleaving import deinterleave, interleave
from ugatit_jax.methods.losses import weighted_sum
from ugatit_jax.methods.method import Batch, Context, Method, Params, Player, Terms
from ugatit_jax.models import INITIALIZERS, compute_dtype, rematerialized
from ugatit_jax.models.patch_discriminator import PatchDiscriminator
from ugatit_jax.models.resnet import ResnetGenerator

_RULES = (
    rules.at_least_one("model.base_width", "model.discriminator_layers"),
    rules.not_negative("loss.adversarial", "loss.cycle", "loss.identity"),
    rules.not_negative("model.residual_blocks"),
    pool.RULE,
    rules.one_of("model.initializer", INITIALIZERS),
)


class FirstPass(NamedTuple):
    """Both generators on both domains: pictures [N, H, W, 3]."""

    fake_a: Array
    fake_b: Array
    identity_a: Array
    identity_b: Array


@dataclass(frozen=True)
class CycleGAN(Method):
    """The networks, without parameters, and the weights of the objective's terms.

    Groups: 'generators' {'a2b', 'b2a'}; 'discriminators' {'a', 'b'}, 'a' of the one that judges
    domain A. Beside them moves 'pool', of each domain's translations.
    """

    generator: ResnetGenerator
    discriminator: PatchDiscriminator
    weights: ConfigDict  # the config's section `loss`
    image_size: tuple[int, int]

    returning = ("generator/cycle/a", "generator/cycle/b")
    shown = MappingProxyType(
        {
            "D": "discriminator/adversarial",
            "G": "generator/adversarial",
            "cycle": "generator/cycle",
            "identity": "generator/identity",
        }
    )

    @classmethod
    def check(cls, config: ConfigDict) -> None:
        """Raise `InputError` for the first field whose value cannot work."""
        rules.check(config, _RULES)
        rules.check_patches(config)

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
            "base_width": model.base_width,
            "kernel_init": INITIALIZERS[model.initializer],
            "dtype": compute_dtype(config.dtype),
        }
        blocks = model.residual_blocks or (9 if min(height, width) >= 256 else 6)
        generator = rematerialized(ResnetGenerator, remat)(residual_blocks=blocks, **common)
        discriminator = rematerialized(PatchDiscriminator, remat)(
            layers=model.discriminator_layers, **common
        )
        return cls(generator, discriminator, config.loss, (height, width))

    @property
    def dtype(self) -> DTypeLike:  # type: ignore[override]
        """What the networks compute in."""
        return self.generator.dtype

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Draw all networks' parameters; the pools are empty."""
        picture = jnp.zeros((1, *self.image_size, 3))
        keys = iter(jax.random.split(key, 4))
        generators = {
            way: self.generator.init(next(keys), picture)["params"] for way in self.directions
        }
        discriminators = {
            domain: self.discriminator.init(next(keys), picture)["params"] for domain in ("a", "b")
        }
        pools = {d: pool.empty_pool(self.weights.pool, picture[0]) for d in ("a", "b")}
        params = {"generators": generators, "discriminators": discriminators}
        return params, {"pool": pools} if self.weights.pool else {}

    def players(self, phase: str) -> tuple[Player, ...]:
        """Return the generators, then the discriminators."""
        return (
            Player("generator", ("generators",), self.generator_loss, through=True),
            Player("discriminator", ("discriminators",), self.discriminator_loss),
        )

    def first(self, params: Params, batch: Batch, noise: Any) -> FirstPass:
        """Translate both domains with both generators, each one's two batches in one call."""
        a, b, generators = batch["a"], batch["b"], params["generators"]
        fake_b, identity_b = deinterleave(self.generate(generators["a2b"], interleave(a, b)))
        fake_a, identity_a = deinterleave(self.generate(generators["b2a"], interleave(b, a)))
        return FirstPass(fake_a, fake_b, identity_a, identity_b)

    def generator_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return L_gan + lambda L_cycle + 0.5 lambda L_identity, and the terms."""
        generators, discriminators = params["generators"], params["discriminators"]
        a, b = context.batch["a"], context.batch["b"]
        parts = {
            "adversarial": {
                "a": losses.least_squares(self.logits(discriminators["a"], first.fake_a), 1),
                "b": losses.least_squares(self.logits(discriminators["b"], first.fake_b), 1),
            },
            "cycle": {
                "a": losses.cycle(self.generate(generators["b2a"], first.fake_b), a),
                "b": losses.cycle(self.generate(generators["a2b"], first.fake_a), b),
            },
            "identity": {
                "a": losses.identity(first.identity_a, a),
                "b": losses.identity(first.identity_b, b),
            },
        }
        weights = {
            "adversarial": self.weights.adversarial,
            "cycle": self.weights.cycle,
            "identity": self.weights.cycle * self.weights.identity,
        }
        return weighted_sum(parts, weights)

    def pooled(self, first: FirstPass) -> Any:
        """Return the translations, by the domain that they look like."""
        return {"a": first.fake_a, "b": first.fake_b}

    def exchange(self, other: Any, pooled: Any, key: Array) -> tuple[Any, Any]:
        """Let the discriminators see earlier translations in the place of half of them."""
        if not self.weights.pool:
            return other, pooled
        pools, seen = {}, {}
        for i, domain in enumerate(("a", "b")):
            pools[domain], seen[domain] = pool.exchange(
                other["pool"][domain], pooled[domain], jax.random.fold_in(key, i)
            )
        return {"pool": pools}, seen

    def discriminator_loss(
        self, params: Params, first: FirstPass, context: Context
    ) -> tuple[Array, Terms]:
        """Return half of the adversarial term as the discriminators see it, and its parts."""
        parts = {}
        for domain, pictures in context.batch.items():
            both = interleave(pictures, context.seen[domain])
            real, fake = deinterleave(self.logits(params["discriminators"][domain], both))
            parts[domain] = losses.least_squares(real, 1) + losses.least_squares(fake, 0)
        return weighted_sum({"adversarial": parts}, {"adversarial": self.weights.adversarial / 2})

    @property
    def undecided(self) -> dict[str, float]:
        """Of both discriminators."""
        loss = losses.UNDECIDED[losses.least_squares]
        return {f"discriminator/adversarial/{domain}": loss for domain in ("a", "b")}

    def generate(self, params: Any, pictures: Array) -> Array:
        """Translate pictures [N, H, W, 3] with one generator's parameters."""
        return cast(Array, self.generator.apply({"params": params}, pictures))

    def logits(self, params: Any, pictures: Array) -> Array:
        """Return what one discriminator says of pictures [N, H, W, 3]: [N, h, w]."""
        return cast(Array, self.discriminator.apply({"params": params}, pictures))

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate; there is nothing else to look at."""
        return self.generate(weights, pictures), {}
