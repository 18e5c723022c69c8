"""Encoder and decoder of UNIT and MUNIT: pictures to contents, contents and styles to pictures."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.layers import Conv, Initializer, ResidualBlock, apply_in_turn
from ugatit_jax.models.normalization import (
    LayerNorm,
    adaptive_instance_normalize,
    instance_normalize,
)

DOWN = 2  # how often a content's sides are half of the picture's


class ContentEncoder(nn.Module):
    """Encode a picture (Huang et al., ECCV 2018, appendix B).

    c7s1-64, d128, d256, R256 once per residual block, in the paper's notation.
    """

    base_width: int = 64
    residual_blocks: int = 4
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return the content [N, H/4, W/4, 4 base_width] of x [N, H, W, 3] in [-1, 1].

        H and W are multiples of 4, and at least 8.
        """
        conv: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )
        x = nn.relu(instance_normalize(conv(self.base_width, 7, padding=3, name="down_0")(x)))
        for i in range(1, DOWN + 1):
            down = conv(self.base_width * 2**i, 4, stride=2, padding=1, name=f"down_{i}")
            x = nn.relu(instance_normalize(down(x)))
        block = ResidualBlock(conv, Conventions(), parent=None)
        return apply_in_turn(self, block, "block", self.residual_blocks, x)


class Decoder(nn.Module):
    """Decode a content, in a style if there is one (Huang et al., ECCV 2018, appendix B).

    R256 once per residual block, u128, u64, c7s1-3 in the paper's notation. With a style, the
    blocks normalise by AdaIN, as MUNIT's do; without, by instance, as UNIT's.
    """

    base_width: int = 64
    residual_blocks: int = 4
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, adain: Array | None = None) -> Array:
        """Return pictures [N, 4h, 4w, 3] in (-1, 1), in float32 at least, of x [N, h, w, C].

        adain: [N, adain_size(base_width, residual_blocks)], what blocks are normalised to.
        """
        conv: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )
        if adain is None:
            block = ResidualBlock(conv, Conventions(), parent=None)
            x = apply_in_turn(self, block, "block", self.residual_blocks, x)
        else:
            for i, style in enumerate(jnp.split(adain, self.residual_blocks, axis=-1)):
                x = AdaINBlock(conv, name=f"block_{i}")(x, style)
        for i in range(DOWN):
            width = self.base_width * 2 ** (DOWN - 1 - i)
            x = x.repeat(2, axis=1).repeat(2, axis=2)
            x = conv(width, 5, padding=2, name=f"up_{i}")(x)
            x = nn.relu(LayerNorm(name=f"up_norm_{i}")(x))
        x = conv(3, 7, padding=3, name="to_rgb")(x)
        return jnp.tanh(x.astype(jnp.promote_types(self.dtype, jnp.float32)))


class AdaINBlock(nn.Module):
    """x + adain(conv(relu(adain(conv(x)))))."""

    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Array, style: Array) -> Array:
        """Return [N, H, W, C] for x [N, H, W, C] and style [N, 4C], beta and gamma, twice."""
        features = x.shape[-1]
        beta_0, gamma_0, beta_1, gamma_1 = jnp.split(style, 4, axis=-1)
        y = self.conv(features, 3, padding=1, name="conv_0")(x)
        y = nn.relu(adaptive_instance_normalize(y, gamma_0, beta_0))
        y = self.conv(features, 3, padding=1, name="conv_1")(y)
        return x + adaptive_instance_normalize(y, gamma_1, beta_1)


def adain_size(base_width: int, residual_blocks: int) -> int:
    """Return how many betas and gammas a decoder takes, of both of a block's convolutions."""
    return residual_blocks * 2 * 2 * base_width * 2**DOWN
