"""MUNIT (Huang et al., ECCV 2018), with the settings of its authors' PyTorch implementation.

    min_{E,G} max_D  L_gan + lambda_x L_image + lambda_c L_content + lambda_s L_style + L_cycle

A picture is a content, which both domains share, and a style of its domain: to translate it is to
decode its content by the other domain's decoder, in a style of N(0, 1) or in another picture's.
The discriminators move first, then encoders and decoders; styles are drawn anew for each.

L_cycle, the style-augmented cycle consistency, is an option of the paper. So is its perceptual
term (`loss.perceptual`).
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.methods import losses, multiscale, perceptual, rules
from ugatit_jax.methods.directions import OTHER
from ugatit_jax.methods.domain_coders import DomainCoders
from ugatit_jax.methods.interleaving import deinterleave, interleave
from ugatit_jax.methods.losses import weighted_sum
from ugatit_jax.methods.method import Batch, Context, Params, Terms
from ugatit_jax.models import compute_dtype, rematerialized
from ugatit_jax.models.content import ContentEncoder, Decoder, adain_size
from ugatit_jax.models.layers import kaiming_normal
from ugatit_jax.models.multiscale_discriminator import MultiscaleDiscriminator
from ugatit_jax.models.style import AdaINMLP, StyleEncoder

_RULES = (
    rules.at_least_one(
        "model.base_width", "model.residual_blocks", "model.style_size", "train.halve_every"
    ),
    rules.not_negative(
        *(f"loss.{term}" for term in ("adversarial", "image", "style", "content", "cycle")),
        "loss.perceptual",
    ),
)


@dataclass(frozen=True)
class MUNIT(DomainCoders):
    """The networks, without parameters, and the weights of the objective's terms.

    Groups: 'generators' {'a', 'b'}, of each domain's 'content_encoder', 'style_encoder', 'mlp' and
    'decoder'; 'discriminators' {'a', 'b'}.
    """

    content_encoder: ContentEncoder
    style_encoder: StyleEncoder
    mlp: AdaINMLP
    decoder: Decoder
    discriminator: MultiscaleDiscriminator
    weights: ConfigDict  # the config's section `loss`
    image_size: tuple[int, int]
    style_size: int

    encodes_styles = True
    returning = ("generator/cycle/a", "generator/cycle/b")
    shown = MappingProxyType(
        {
            "D": "discriminator/adversarial",
            "G": "generator/adversarial",
            "image": "generator/image",
            "style": "generator/style",
            "content": "generator/content",
            "cycle": "generator/cycle",
        }
    )

    @classmethod
    def check(cls, config: ConfigDict) -> None:
        """Raise `InputError` for the first field whose value cannot work."""
        rules.check(config, _RULES)
        cls.check_judges(config)

    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        """Return the method that a (checked) config describes; see `Method`."""
        model, remat = config.model, config.train.remat
        width, blocks = model.base_width, model.residual_blocks
        how: dict[str, Any] = {
            "kernel_init": kaiming_normal,
            "dtype": compute_dtype(config.dtype),
        }
        return cls(
            rematerialized(ContentEncoder, remat)(width, blocks, **how),
            rematerialized(StyleEncoder, remat)(model.style_size, width, **how),
            AdaINMLP(adain_size(width, blocks), 4 * width, **how),
            rematerialized(Decoder, remat)(width, blocks, **how),
            multiscale.build(config),
            config.loss,
            tuple(config.data.image_size),
            model.style_size,
        )

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Draw all networks' parameters; nothing moves without a gradient."""
        picture = jnp.zeros((1, *self.image_size, 3))
        params: Params = {"generators": {}, "discriminators": {}}
        for i, domain in enumerate(("a", "b")):
            keys = jax.random.split(jax.random.fold_in(key, i), 5)
            content, of_content = self.content_encoder.init_with_output(keys[0], picture)
            style, of_style = self.style_encoder.init_with_output(keys[1], picture)
            adain, of_mlp = self.mlp.init_with_output(keys[2], style)
            params["generators"][domain] = {
                "content_encoder": of_content["params"],
                "style_encoder": of_style["params"],
                "mlp": of_mlp["params"],
                "decoder": self.decoder.init(keys[3], content, adain)["params"],
            }
            judge = self.discriminator.init(keys[4], picture)
            params["discriminators"][domain] = judge["params"]
        return params, {}

    def draw(self, key: Array, batch: Batch) -> dict[str, dict[str, Array]]:
        """Draw styles N(0, 1) [N, style_size] of both domains for each player: {player: {…}}."""
        shape = (len(batch["a"]), self.style_size)
        players = ("discriminator", "generator")
        drawn = iter(jax.random.normal(key, (len(players) * 2, *shape)))
        return {player: {domain: next(drawn) for domain in ("a", "b")} for player in players}

    def discriminator_loss(
        self, params: Params, first: dict[str, Array], context: Context
    ) -> tuple[Array, Terms]:
        """Return the adversarial term as the discriminators see it, and its parts."""
        parts = {}
        for domain, pictures in context.batch.items():
            style = context.noise["discriminator"][domain]
            fake = self.decode(params["generators"][domain], first[OTHER[domain]], style)
            both = self.logits(params["discriminators"][domain], interleave(pictures, fake))
            real, fake = deinterleave(both)
            parts[domain] = multiscale.least_squares(real, 1) + multiscale.least_squares(fake, 0)
        return weighted_sum({"adversarial": parts}, {"adversarial": self.weights.adversarial})

    @property
    def undecided(self) -> dict[str, float]:
        """Of both discriminators, over their scales."""
        loss = self.discriminator.scales * losses.UNDECIDED[losses.least_squares]
        return {f"discriminator/adversarial/{domain}": loss for domain in ("a", "b")}

    def generator_loss(
        self, params: Params, first: dict[str, Array], context: Context
    ) -> tuple[Array, Terms]:
        """Return the objective of encoders and decoders, eq. 5 of the paper, and its terms."""
        generators, batch = params["generators"], context.batch
        drawn = context.noise["generator"]
        styles = {x: self.encode_styles(generators[x], batch[x]) for x in batch}
        parts: dict[str, Terms] = {
            name: {} for name in ("adversarial", "image", "style", "content")
        }
        found = {}  # the contents of translations
        for domain, pictures in batch.items():
            of_domain, other = generators[domain], OTHER[domain]
            # One call of the decoder: of its own picture, in that one's style, and the other's.
            contents = interleave(first[domain], first[other])
            decoded = self.decode(of_domain, contents, interleave(styles[domain], drawn[domain]))
            same, fake = deinterleave(decoded)
            found[other] = self.encode(of_domain, fake)
            logits = self.logits(params["discriminators"][domain], fake)
            parts["adversarial"][domain] = multiscale.least_squares(logits, 1)
            parts["image"][domain] = losses.reconstruction(same, pictures)
            parts["style"][domain] = losses.reconstruction(
                self.encode_styles(of_domain, fake), drawn[domain]
            )
            parts["content"][other] = losses.reconstruction(found[other], first[other])
            if self.weights.perceptual:
                parts.setdefault("perceptual", {})[domain] = perceptual.distance(
                    context.fixed, fake, batch[other], self.weights.perceptual_layer, self.dtype
                )
        if self.weights.cycle:
            parts["cycle"] = {
                x: losses.cycle(self.decode(generators[x], found[x], styles[x]), batch[x])
                for x in batch
            }
        return weighted_sum(parts, self.weights)

    # --- The networks at work, of one domain's parameters -----------------------------------------

    def encode(self, params: Any, pictures: Array) -> Array:
        """Return the contents [N, H/4, W/4, C] of pictures [N, H, W, 3]."""
        encoder = {"params": params["content_encoder"]}
        return cast(Array, self.content_encoder.apply(encoder, pictures))

    def encode_styles(self, params: Any, pictures: Array) -> Array:
        """Return the styles [N, style_size] of pictures [N, H, W, 3]."""
        return cast(Array, self.style_encoder.apply({"params": params["style_encoder"]}, pictures))

    def decode(self, params: Any, contents: Array, styles: Array) -> Array:
        """Return pictures [N, H, W, 3] of contents [N, H/4, W/4, C] and styles [N, style_size]."""
        adain = self.mlp.apply({"params": params["mlp"]}, styles)
        return cast(Array, self.decoder.apply({"params": params["decoder"]}, contents, adain))

    # --- Translating ------------------------------------------------------------------------------

    def select(self, groups: Params, direction: str) -> Any:
        """Return the source's content encoder, and the rest of the target's networks."""
        source, target = (groups["generators"][domain] for domain in (direction[0], direction[-1]))
        return target | {"content_encoder": source["content_encoder"]}

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate, each picture in its style; there is nothing else to look at."""
        assert styles is not None, "MUNIT translates in styles"
        return self.decode(weights, self.encode(weights, pictures), styles), {}

    def encode_style(self, weights: Any, pictures: Array, direction: str) -> Array:
        """Return the styles [N, style_size] of pictures of the target domain."""
        return self.encode_styles(weights, pictures)
