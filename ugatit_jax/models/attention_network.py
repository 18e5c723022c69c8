"""AGGAN's attention network: which part of a picture is to be translated."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.layers import Conv, Initializer, ResidualBlock
from ugatit_jax.models.normalization import InstanceNorm


class AttentionNetwork(nn.Module):
    """Find the part of a picture that tells its domain (Mejjati et al., NeurIPS 2018).

    c7s2-32, d64, R64, twice nearest ×2 and c1s1 (64, 32), c1s1-1 and a sigmoid. The convolutions
    after up-sampling are 1×1, as in the authors' code. So neither they nor the normalisations
    between them mix a pixel with its copies: they are done before up-sampling, which gives the same
    numbers for a sixteenth of the arithmetic, and the mask consists of tiles of 4×4 px.
    """

    base_width: int = 32
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return the mask [N, H, W, 1] in (0, 1) of x [N, H, W, 3] in [-1, 1].

        H and W are multiples of 4, and at least 8. In float32 at least; 1: "translate this".
        """
        width, conventions = self.base_width, Conventions(affine_instance_norm=True)
        conv: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )

        def normalized(x: Array, name: str) -> Array:
            return nn.relu(InstanceNorm(conventions, name=name)(x))

        x = normalized(conv(width, 7, stride=2, padding=3, name="down_0")(x), "down_norm_0")
        down = conv(2 * width, 3, stride=2, padding=1, padding_mode="constant", name="down_1")
        x = normalized(down(x), "down_norm_1")
        x = ResidualBlock(conv, conventions, name="block")(x)
        x = normalized(conv(2 * width, 1, name="up_0")(x), "up_norm_0")
        x = normalized(conv(width, 1, name="up_1")(x), "up_norm_1")
        x = conv(1, 1, name="to_mask")(x)
        mask = jax.nn.sigmoid(x.astype(jnp.promote_types(self.dtype, jnp.float32)))
        return mask.repeat(4, axis=1).repeat(4, axis=2)
