"""DRIT's networks together: what of which group's parameters goes through which of them.

Everything is of both domains, as {'a', 'b'}, because they share the middle: the end of the content
encoders and the beginning of the generators.
"""

from typing import Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.methods import multiscale
from ugatit_jax.methods.interleaving import deinterleave, interleave
from ugatit_jax.methods.method import Params
from ugatit_jax.models import INITIALIZERS, compute_dtype, rematerialized
from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.disentanglement import (
    SLOPE,
    AttributeEncoder,
    ContentDiscriminator,
    ContentEncoder,
    Decoder,
    Gaussian,
    convolution,
)
from ugatit_jax.models.layers import ResidualBlock
from ugatit_jax.models.multiscale_discriminator import MultiscaleDiscriminator

DOMAINS = ("a", "b")

Pair = dict[str, Array]  # an array of each domain


class Networks(NamedTuple):
    """The networks, without parameters."""

    content_encoder: ContentEncoder
    attribute_encoder: AttributeEncoder
    shared: ResidualBlock  # of content encoders at their end, of generators at their beginning
    decoder: Decoder
    discriminator: MultiscaleDiscriminator
    content_discriminator: ContentDiscriminator

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """Return the networks that a (checked) config describes."""
        model, remat = config.model, config.train.remat
        kernel_init, dtype = INITIALIZERS[model.initializer], compute_dtype(config.dtype)
        common: dict[str, Any] = {"kernel_init": kernel_init, "dtype": dtype}
        sized = common | {"base_width": model.base_width}
        blocks = {"residual_blocks": model.residual_blocks}
        return cls(
            rematerialized(ContentEncoder, remat)(**blocks, **sized),
            rematerialized(AttributeEncoder, remat)(style_size=model.style_size, **sized),
            rematerialized(ResidualBlock, remat)(convolution(kernel_init, dtype), Conventions()),
            rematerialized(Decoder, remat)(**blocks, **sized),
            multiscale.build(config, negative_slope=SLOPE, kernel_init=kernel_init),
            rematerialized(ContentDiscriminator, remat)(
                layers=model.content_discriminator_layers, **common
            ),
        )

    def init(self, key: Array, image_size: tuple[int, int]) -> Params:
        """Draw the parameters, by group; image_size: (height, width) in px."""
        keys = iter(jax.random.split(key, 13))
        picture = jnp.zeros((1, *image_size, 3))
        content = jnp.zeros(self.content_shape(1, image_size))
        style = jnp.zeros((1, self.attribute_encoder.style_size))

        def each(network: Any, *inputs: Array) -> dict[str, Any]:
            return {domain: network.init(next(keys), *inputs)["params"] for domain in DOMAINS}

        def shared() -> dict[str, Any]:
            return {"shared": self.shared.init(next(keys), content)["params"]}

        encoded, random = (each(self.discriminator, picture) for _ in range(2))
        judge = self.content_discriminator.init(next(keys), content)
        return {
            "content_encoders": each(self.content_encoder, picture) | shared(),
            "attribute_encoders": each(self.attribute_encoder, picture),
            "generators": each(self.decoder, content, style) | shared(),
            "discriminators": {d: {"encoded": encoded[d], "random": random[d]} for d in DOMAINS},
            "content_discriminator": judge["params"],
        }

    def content_shape(self, count: int, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the shape of the content of so many pictures."""
        height, width = image_size
        return count, height // 4, width // 4, 4 * self.content_encoder.base_width

    def encode_content(self, own: Any, shared: Any, pictures: Array) -> Array:
        """Return the content, without noise, of one domain's pictures [N, H, W, 3]."""
        content = self.content_encoder.apply({"params": own}, pictures)
        return cast(Array, self.shared.apply({"params": shared}, content))

    def encode_contents(self, encoders: Any, pictures: Pair, noise: Pair) -> Pair:
        """Return the contents [N, H / 4, W / 4, C] of pictures [N, H, W, 3], with noise added.

        encoders: the group 'content_encoders'.
        """
        own: list[Any] = [
            self.content_encoder.apply({"params": encoders[d]}, pictures[d]) for d in DOMAINS
        ]
        both = self.shared.apply({"params": encoders["shared"]}, interleave(*own))
        contents = dict(zip(DOMAINS, deinterleave(both), strict=True))
        return {d: contents[d] + noise[d].astype(contents[d].dtype) for d in DOMAINS}

    def encode_attributes(self, encoder: Any, pictures: Array) -> Gaussian:
        """Return what the attributes of one domain's pictures [N, H, W, 3] may be."""
        return cast(Gaussian, self.attribute_encoder.apply({"params": encoder}, pictures))

    def generate(self, own: Any, shared: Any, content: Array, styles: Array) -> Array:
        """Return pictures [N, H, W, 3] of one domain, of contents and of attributes [N, S]."""
        x = self.shared.apply({"params": shared}, content)
        return cast(Array, self.decoder.apply({"params": own}, x, styles))

    def judge(self, params: Any, *batches: Array) -> list[list[Array]]:
        """Return what a discriminator says of some batches [N, H, W, 3]: logits by scale, batch."""
        scales = self.discriminator.apply({"params": params}, interleave(*batches))
        return [list(deinterleave(logits, len(batches))) for logits in scales]

    def judge_content(self, params: Any, content: Array) -> Array:
        """Return the content discriminator's logits, > 0: of domain B."""
        return cast(Array, self.content_discriminator.apply({"params": params}, content))


def sample(gaussian: Gaussian, noise: Array) -> Array:
    """Return attributes [N, S], drawn by noise [N, S] from N(0, 1)."""
    return gaussian.mean + jnp.exp(gaussian.log_variance / 2) * noise
