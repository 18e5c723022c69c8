"""AGGAN, attention-guided translation (Mejjati et al., NeurIPS 2018).

    s' = s_a F(s) + (1 - s_a) s        s_a = A(s), the attention to what tells the domain

    min_{F, A} max_D  L_adv + lambda_cyc L_cyc

An attention network chooses what of a picture its generator translates; the rest stays. Each
direction moves by itself, then the discriminator of its translations. When attention is learned it
is frozen, and discriminators see where a mask is at least tau, without normalisation there.
"""

from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.methods import losses, pool, rules
from ugatit_jax.methods.directions import BACK
from ugatit_jax.methods.interleaving import deinterleave, interleave
from ugatit_jax.methods.losses import weighted_sum
from ugatit_jax.methods.method import Batch, Context, Method, Params, Player, Terms
from ugatit_jax.methods.rules import Rule
from ugatit_jax.models import INITIALIZERS, compute_dtype, rematerialized
from ugatit_jax.models.attention_network import AttentionNetwork
from ugatit_jax.models.patch_discriminator import PatchDiscriminator
from ugatit_jax.models.resnet import ResnetGenerator

_RULES = (
    rules.at_least_one(
        *(f"model.{of}_width" for of in ("base", "attention", "discriminator")),
        "model.discriminator_layers",
    ),
    rules.not_negative("model.residual_blocks", "loss.adversarial", "loss.cycle"),
    pool.RULE,
    rules.not_negative("train.attention_steps"),
    Rule(("loss.mask_threshold",), lambda v: 0 <= v <= 1, "in [0, 1]"),
    rules.one_of("model.initializer", INITIALIZERS),
)


class Translation(NamedTuple):
    """What became of pictures, [N, H, W, 3], and what of each was translated, [N, H, W, 1]."""

    pictures: Array
    masks: Array


@dataclass(frozen=True)
class AGGAN(Method):
    """The networks, without parameters, and the weights of the objective's terms.

    Groups: 'generator_a2b' and 'generator_b2a'; 'attention_a' and 'attention_b', each of the domain
    that it looks at; 'discriminator_a' and 'discriminator_b', each of the domain that it judges.
    Beside them moves 'pool', of each domain's translations and their masks.
    """

    generator: ResnetGenerator
    attention: AttentionNetwork
    discriminator: PatchDiscriminator
    weights: ConfigDict  # the config's section `loss`
    attention_steps: int
    image_size: tuple[int, int]

    translating = ("generator_a2b", "generator_b2a", "attention_a", "attention_b")
    looks = ("attention",)
    phases = ("attention", "masked")
    returning = ("a2b/cycle/a", "b2a/cycle/b")
    shown = MappingProxyType(
        {
            "D": "discriminator_b/adversarial",
            "G": "a2b/adversarial",
            "cycle": "a2b/cycle",
            "attended": "a2b/attended",
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
            "kernel_init": INITIALIZERS[model.initializer],
            "dtype": compute_dtype(config.dtype),
        }
        return cls(
            rematerialized(ResnetGenerator, remat)(
                model.base_width, model.residual_blocks, affine=True, **common
            ),
            rematerialized(AttentionNetwork, remat)(model.attention_width, **common),
            rematerialized(PatchDiscriminator, remat)(
                model.discriminator_width,
                model.discriminator_layers,
                normalize_first=True,
                affine=True,
                **common,
            ),
            config.loss,
            config.train.attention_steps,
            (height, width),
        )

    @property
    def dtype(self) -> DTypeLike:  # type: ignore[override]
        """What the networks compute in."""
        return self.generator.dtype

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Draw all networks' parameters; the pools are empty."""
        picture = jnp.zeros((1, *self.image_size, 3))
        networks = {
            "generator_a2b": self.generator,
            "generator_b2a": self.generator,
            "attention_a": self.attention,
            "attention_b": self.attention,
            "discriminator_a": self.discriminator,
            "discriminator_b": self.discriminator,
        }
        keys = jax.random.split(key, len(networks))
        params = {
            name: network.init(key, picture)["params"]
            for (name, network), key in zip(networks.items(), keys, strict=True)
        }
        item = {"pictures": picture[0], "masks": picture[0, ..., :1]}
        pools = {domain: pool.empty_pool(self.weights.pool, item) for domain in ("a", "b")}
        return params, {"pool": pools} if self.weights.pool else {}

    def phase(self, step: int) -> str:
        """Return 'attention' for the first steps, and 'masked' then."""
        return self.phases[step >= self.attention_steps]

    def players(self, phase: str) -> tuple[Player, ...]:
        """Return each direction, with its attention if that is learned, and its discriminator."""
        masked = phase == "masked"
        found = []
        for way in self.directions:
            generator, attention = f"generator_{way}", f"attention_{way[0]}"
            moves = (generator,) if masked else (generator, attention)
            found.append(Player(way, moves, partial(self.way_loss, way, masked), through=True))
            judge = f"discriminator_{way[-1]}"
            loss = partial(self.discriminator_loss, way[-1], masked)
            found.append(Player(judge, (judge,), loss))
        return tuple(found)

    def first(self, params: Params, batch: Batch, noise: Any) -> dict[str, Translation]:
        """Translate both domains, {direction: what became of it}."""
        return {way: self.apply(params, way, batch[way[0]]) for way in self.directions}

    def way_loss(
        self,
        way: str,
        masked: bool,
        params: Params,
        first: dict[str, Translation],
        context: Context,
    ) -> tuple[Array, Terms]:
        """Return L_adv + lambda_cyc L_cyc as one direction sees them, and the terms.

        The cycle is that of both domains: each passes this direction once. 'attended' is how much
        of the pictures is translated, from 0 to 1.
        """
        back, batch = BACK[way], context.batch
        source, target = way[0], way[-1]
        # `first` is of the step's start; since then the other direction may have moved.
        others = (
            first[back] if way == self.directions[0] else self.apply(params, back, batch[target])
        )
        parts = {
            "adversarial": {
                target: losses.least_squares(self.logits(params, target, first[way], masked), 1)
            },
            "cycle": {
                source: losses.cycle(
                    self.apply(params, back, first[way].pictures).pictures, batch[source]
                ),
                target: losses.cycle(
                    self.apply(params, way, others.pictures).pictures, batch[target]
                ),
            },
        }
        weights = {"adversarial": self.weights.adversarial, "cycle": self.weights.cycle}
        total, terms = weighted_sum(parts, weights)
        return total, terms | {"attended": first[way].masks.mean()}

    def pooled(self, first: dict[str, Translation]) -> Any:
        """Return the translations with their masks, by the domain that they look like."""
        return {way[-1]: translation._asdict() for way, translation in first.items()}

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
        self,
        domain: str,
        masked: bool,
        params: Params,
        first: dict[str, Translation],
        context: Context,
    ) -> tuple[Array, Terms]:
        """Return half of the adversarial term as a discriminator sees it, and its parts."""
        # A real picture's mask is that by which it is translated.
        away = next(way for way in self.directions if way[0] == domain)
        real = Translation(context.batch[domain], first[away].masks)
        fake = Translation(**context.seen[domain])
        both = jax.tree.map(interleave, real, fake)
        on_real, on_fake = deinterleave(self.logits(params, domain, both, masked))
        parts = {"real": losses.least_squares(on_real, 1), "fake": losses.least_squares(on_fake, 0)}
        return weighted_sum({"adversarial": parts}, {"adversarial": self.weights.adversarial / 2})

    @property
    def undecided(self) -> dict[str, float]:
        """Of both discriminators."""
        loss = losses.UNDECIDED[losses.least_squares]
        return {f"discriminator_{domain}/adversarial": loss for domain in ("a", "b")}

    def apply(self, groups: Params, way: str, pictures: Array) -> Translation:
        """Translate pictures [N, H, W, 3] with the groups of a direction."""
        return self.attend(self.select(groups, way), pictures)

    def attend(self, weights: Any, pictures: Array) -> Translation:
        """Return s' = s_a F(s) + (1 - s_a) s of pictures s [N, H, W, 3], and s_a."""
        masks = cast(Array, self.attention.apply({"params": weights["attention"]}, pictures))
        fake = cast(Array, self.generator.apply({"params": weights["generator"]}, pictures))
        return Translation(masks * fake + (1 - masks) * pictures, masks)

    def logits(self, params: Params, domain: str, shown: Translation, masked: bool) -> Array:
        """Return what a domain's discriminator says of pictures, or of what is in their masks."""
        pictures, network = shown.pictures, self.discriminator
        if masked:
            pictures = jnp.where(shown.masks >= self.weights.mask_threshold, pictures, 0)
            network = network.clone(normalize=False)
        return cast(Array, network.apply({"params": params[f"discriminator_{domain}"]}, pictures))

    def select(self, groups: Params, direction: str) -> Any:
        """Return a direction's generator and the attention to its source."""
        return {
            "generator": groups[f"generator_{direction}"],
            "attention": groups[f"attention_{direction[0]}"],
        }

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate, and tell what of each picture was: 1, all of a pixel; 0, nothing."""
        translated, masks = self.attend(weights, pictures)
        return translated, {"attention": masks[..., 0]}
