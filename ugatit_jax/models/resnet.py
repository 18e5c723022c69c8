"""CycleGAN's generator: residual blocks between strided and transposed convolutions."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.layers import (
    Conv,
    DoublingConv,
    Initializer,
    ResidualBlock,
    apply_in_turn,
)
from ugatit_jax.models.normalization import InstanceNorm


class ResnetGenerator(nn.Module):
    """Translate pictures of one domain into the other (Zhu et al., ICCV 2017, appendix 7.2).

    c7s1-64, d128, d256, R256 once per residual block, u128, u64, c7s1-3 in the paper's notation;
    9 blocks from 256 px on, 6 below.
    """

    base_width: int = 64
    residual_blocks: int = 9
    affine: bool = False  # a learned gamma and beta after every normalisation
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Translate x [N, H, W, 3] in [-1, 1]; H and W are multiples of 4, and at least 8.

        Returns pictures [N, H, W, 3] in (-1, 1), in float32 at least.
        """
        width, conventions = self.base_width, Conventions(affine_instance_norm=self.affine)
        # A bias does nothing before an instance normalisation, but the authors' files have them.
        conv: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )

        x = conv(width, 7, padding=3, name="down_0")(x)
        x = nn.relu(InstanceNorm(conventions, name="down_norm_0")(x))
        for i in (1, 2):
            down = conv(
                width * 2**i, 3, stride=2, padding=1, padding_mode="constant", name=f"down_{i}"
            )
            x = nn.relu(InstanceNorm(conventions, name=f"down_norm_{i}")(down(x)))
        block = ResidualBlock(conv, conventions, parent=None)
        x = apply_in_turn(self, block, "block", self.residual_blocks, x)
        for i in (0, 1):
            up = DoublingConv(width * 2 ** (1 - i), self.kernel_init, self.dtype, name=f"up_{i}")
            x = nn.relu(InstanceNorm(conventions, name=f"up_norm_{i}")(up(x)))
        x = conv(3, 7, padding=3, name="to_rgb")(x)
        return jnp.tanh(x.astype(jnp.promote_types(self.dtype, jnp.float32)))
