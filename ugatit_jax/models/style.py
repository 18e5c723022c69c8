"""MUNIT's styles: a picture's style, and what a decoder makes of a style."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.convolution import precision_of
from ugatit_jax.models.layers import Conv, Initializer


class StyleEncoder(nn.Module):
    """Encode a picture's style (Huang et al., ECCV 2018, appendix B).

    c7s1-64, d128, d256, d256, d256, GAP, fc8 in the paper's notation. It normalises nothing, which
    would take the mean and the deviation away that are the style.
    """

    style_size: int = 8
    base_width: int = 64
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return the style [N, style_size], in float32 at least, of x [N, H, W, 3] in [-1, 1].

        H and W are at least 16.
        """
        conv: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )
        x = nn.relu(conv(self.base_width, 7, padding=3, name="down_0")(x))
        for i in range(1, 5):
            width = self.base_width * min(2**i, 4)
            x = nn.relu(conv(width, 4, stride=2, padding=1, name=f"down_{i}")(x))
        wide = jnp.promote_types(x.dtype, jnp.float32)
        x = x.astype(wide).mean((1, 2), keepdims=True)
        return conv(self.style_size, 1, name="to_style", dtype=wide)(x)[:, 0, 0]


class AdaINMLP(nn.Module):
    """Compute what AdaIN normalises to of a style: 8 → 256 → 256 → `outputs` at MUNIT's width."""

    outputs: int
    hidden: int = 256
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, style: Array) -> Array:
        """Return [N, outputs] for style [N, style_size]."""
        dense = functools.partial(
            nn.Dense,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            precision=precision_of(jnp.zeros((), self.dtype)),
        )
        x = nn.relu(dense(self.hidden, name="fc_0")(style))
        x = nn.relu(dense(self.hidden, name="fc_1")(x))
        return dense(self.outputs, name="fc_2")(x)
