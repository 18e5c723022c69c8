"""What UNIT and MUNIT, whose authors' implementation is one, have alike.

Each domain has an encoder and a decoder of its own, and a discriminator of several scales. The
discriminators move first, then encoders and decoders, at a rate that is halved now and then.
"""

import abc
from typing import Any, cast

import optax
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.methods import multiscale, perceptual
from ugatit_jax.methods.method import Batch, Context, Method, Params, Player, Terms
from ugatit_jax.methods.optimizer import halving_rate
from ugatit_jax.models import vgg
from ugatit_jax.models.content import Decoder
from ugatit_jax.models.multiscale_discriminator import MultiscaleDiscriminator


class DomainCoders(Method):
    """A method of encoders and decoders by domain; groups: 'generators' and 'discriminators'."""

    decoder: Decoder
    discriminator: MultiscaleDiscriminator
    weights: ConfigDict  # the config's section `loss`

    @staticmethod
    def check_judges(config: ConfigDict) -> None:
        """Raise `InputError` if the discriminators, or the perceptual term, cannot work."""
        multiscale.check(config)
        if config.loss.perceptual:
            perceptual.check(config, "perceptual_network", "perceptual_layer")

    @property
    def dtype(self) -> DTypeLike:  # type: ignore[override]
        """What the networks compute in."""
        return self.decoder.dtype

    def schedules(self, train: ConfigDict) -> dict[str, optax.Schedule]:
        """Return the rate of both groups: halved now and then."""
        return dict.fromkeys(("generators", "discriminators"), halving_rate(train))

    def players(self, phase: str) -> tuple[Player, ...]:
        """Return the discriminators, then encoders and decoders."""
        return (
            Player("discriminator", ("discriminators",), self.discriminator_loss),
            Player("generator", ("generators",), self.generator_loss, through=True),
        )

    @abc.abstractmethod
    def discriminator_loss(
        self, params: Params, first: dict[str, Array], context: Context
    ) -> tuple[Array, Terms]:
        """Return the discriminators' loss and its terms."""

    @abc.abstractmethod
    def generator_loss(
        self, params: Params, first: dict[str, Array], context: Context
    ) -> tuple[Array, Terms]:
        """Return the loss of encoders and decoders, and its terms."""

    def fixed(self) -> Any:
        """Return the parameters of what the perceptual term looks at, if there is one."""
        loss = self.weights
        if not loss.perceptual:
            return ()
        return vgg.up_to(
            perceptual.open_network(loss.perceptual_network).params, loss.perceptual_layer
        )

    def describe_fixed(self) -> dict[str, dict[str, str]]:
        """Return what the perceptual term looks at, if there is one."""
        loss = self.weights
        if not loss.perceptual:
            return {}
        described = perceptual.describe(loss.perceptual_network, loss.perceptual_layer)
        return {"perceptual": described}

    def first(self, params: Params, batch: Batch, noise: Any) -> dict[str, Array]:
        """Encode both domains: contents, or the means of latents."""
        return {
            domain: self.encode(params["generators"][domain], pictures)
            for domain, pictures in batch.items()
        }

    @abc.abstractmethod
    def encode(self, params: Any, pictures: Array) -> Array:
        """Return what a domain's encoder says of pictures [N, H, W, 3]: [N, H/4, W/4, C]."""

    def logits(self, params: Any, pictures: Array) -> tuple[Array, ...]:
        """Return what a discriminator says of pictures [N, H, W, 3]: [N, h, w] at each scale."""
        judged = self.discriminator.apply({"params": params}, pictures)
        return cast(tuple[Array, ...], judged)
