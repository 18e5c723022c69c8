"""UNIT (Liu et al., NIPS 2017), as in its authors' PyTorch implementation, which is MUNIT's, too.

    min_{E,G} max_D  L_gan + lambda_x L_image + lambda_x L_cycle + lambda_kl (L_kl + L_kl_cycle)

Both domains' encoders lead to one latent space: an encoder gives the mean of a latent of deviation
1, and a decoder makes a picture of its domain of any latent. The discriminators move first, then
encoders and decoders; the latents' noise is drawn anew for each, and left out in translating.
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
from ugatit_jax.models.content import DOWN, ContentEncoder, Decoder
from ugatit_jax.models.layers import kaiming_normal
from ugatit_jax.models.multiscale_discriminator import MultiscaleDiscriminator

_RULES = (
    rules.at_least_one("model.base_width", "model.residual_blocks", "train.halve_every"),
    rules.not_negative(
        *(f"loss.{term}" for term in ("adversarial", "image", "cycle", "kl", "perceptual"))
    ),
)


@dataclass(frozen=True)
class UNIT(DomainCoders):
    """The networks, without parameters, and the weights of the objective's terms.

    Groups: 'generators' {'a', 'b'}, of each domain's 'encoder' and 'decoder'; 'discriminators'
    {'a', 'b'}.
    """

    encoder: ContentEncoder
    decoder: Decoder
    discriminator: MultiscaleDiscriminator
    weights: ConfigDict  # the config's section `loss`
    image_size: tuple[int, int]

    returning = ("generator/cycle/a", "generator/cycle/b")
    shown = MappingProxyType(
        {
            "D": "discriminator/adversarial",
            "G": "generator/adversarial",
            "image": "generator/image",
            "cycle": "generator/cycle",
            "kl": "generator/kl",
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
        how: dict[str, Any] = {
            "base_width": model.base_width,
            "residual_blocks": model.residual_blocks,
            "kernel_init": kaiming_normal,
            "dtype": compute_dtype(config.dtype),
        }
        return cls(
            rematerialized(ContentEncoder, remat)(**how),
            rematerialized(Decoder, remat)(**how),
            multiscale.build(config),
            config.loss,
            tuple(config.data.image_size),
        )

    def init(self, key: Array) -> tuple[Params, dict[str, Any]]:
        """Draw all networks' parameters; nothing moves without a gradient."""
        picture = jnp.zeros((1, *self.image_size, 3))
        params: Params = {"generators": {}, "discriminators": {}}
        for i, domain in enumerate(("a", "b")):
            keys = jax.random.split(jax.random.fold_in(key, i), 3)
            latent, of_encoder = self.encoder.init_with_output(keys[0], picture)
            params["generators"][domain] = {
                "encoder": of_encoder["params"],
                "decoder": self.decoder.init(keys[1], latent)["params"],
            }
            judge = self.discriminator.init(keys[2], picture)
            params["discriminators"][domain] = judge["params"]
        return params, {}

    def draw(self, key: Array, batch: Batch) -> dict[str, dict[str, Array]]:
        """Draw the noise N(0, 1) of latents, by whose loss needs it: of pictures, {'a', 'b'}.

        'cycle' is that of the translations' latents, by the domain of the pictures they are of.
        """
        count, height, width, _ = batch["a"].shape
        side = 2**DOWN
        shape = (count, height // side, width // side, self.encoder.base_width * side)
        uses = ("discriminator", "generator", "cycle")
        drawn = iter(jax.random.normal(key, (len(uses) * 2, *shape)))
        return {use: {domain: next(drawn) for domain in ("a", "b")} for use in uses}

    def discriminator_loss(
        self, params: Params, first: dict[str, Array], context: Context
    ) -> tuple[Array, Terms]:
        """Return the adversarial term as the discriminators see it, and its parts."""
        parts = {}
        for domain, pictures in context.batch.items():
            other = OTHER[domain]
            latent = first[other] + context.noise["discriminator"][other]
            fake = self.decode(params["generators"][domain], latent)
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
        """Return the objective of encoders and decoders, and its terms."""
        generators, batch, noise = params["generators"], context.batch, context.noise
        latents = {x: first[x] + noise["generator"][x] for x in batch}
        parts: dict[str, Terms] = {name: {} for name in ("adversarial", "image", "cycle", "kl")}
        for domain, pictures in batch.items():
            of_domain, other = generators[domain], OTHER[domain]
            # One call of the decoder: of the domain's own picture, and of the other domain's.
            decoded = self.decode(of_domain, interleave(latents[domain], latents[other]))
            same, fake = deinterleave(decoded)
            logits = self.logits(params["discriminators"][domain], fake)
            found = self.encode(of_domain, fake)
            again = self.decode(generators[other], found + noise["cycle"][other])
            parts["adversarial"][domain] = multiscale.least_squares(logits, 1)
            parts["image"][domain] = losses.reconstruction(same, pictures)
            parts["cycle"][other] = losses.cycle(again, batch[other])
            if self.weights.perceptual:
                parts.setdefault("perceptual", {})[domain] = perceptual.distance(
                    context.fixed, fake, batch[other], self.weights.perceptual_layer, self.dtype
                )
            parts["kl"][domain] = losses.kl_of_means(first[domain])
            parts["kl"][f"cycle_{other}"] = losses.kl_of_means(found)
        return weighted_sum(parts, self.weights)

    # --- The networks at work, of one domain's parameters -----------------------------------------

    def encode(self, params: Any, pictures: Array) -> Array:
        """Return the latents' means [N, H/4, W/4, C] of pictures [N, H, W, 3]."""
        return cast(Array, self.encoder.apply({"params": params["encoder"]}, pictures))

    def decode(self, params: Any, latents: Array) -> Array:
        """Return pictures [N, H, W, 3] of latents [N, H/4, W/4, C]."""
        return cast(Array, self.decoder.apply({"params": params["decoder"]}, latents))

    # --- Translating ------------------------------------------------------------------------------

    def select(self, groups: Params, direction: str) -> Any:
        """Return the source's encoder and the target's decoder."""
        source, target = (groups["generators"][domain] for domain in (direction[0], direction[-1]))
        return {"encoder": source["encoder"], "decoder": target["decoder"]}

    def translate(
        self, weights: Any, pictures: Array, direction: str, styles: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Translate, without noise; there is nothing else to look at."""
        return self.decode(weights, self.encode(weights, pictures)), {}
