"""DRIT's networks but for its discriminators of pictures: what shows, and in which manner, apart.

The residual block that both domains' content encoders end with, and the one that both generators
begin with, are not here: they are `layers.ResidualBlock`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
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
    fan_in_uniform,
)
from ugatit_jax.models.normalization import instance_layer_normalize, instance_normalize

SLOPE = 0.01  # of the leaky ReLUs, PyTorch's default, but for those of the attribute encoder


class Gaussian(NamedTuple):
    """Normal distributions with independent components, both [N, style_size]."""

    mean: Array
    log_variance: Array


class ContentEncoder(nn.Module):
    """A domain's own part of its content encoder (Lee et al., ECCV 2018, section 3).

    c7s1-64, d128, d256, R256 once per residual block, the first without normalisation.
    """

    base_width: int = 64
    residual_blocks: int = 3
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return [N, H / 4, W / 4, 4 base_width] for x [N, H, W, 3] in [-1, 1]."""
        conv = convolution(self.kernel_init, self.dtype)
        x = nn.leaky_relu(conv(self.base_width, 7, padding=3, name="down_0")(x), SLOPE)
        for i in (1, 2):
            down = conv(self.base_width * 2**i, 3, stride=2, padding=1, name=f"down_{i}")
            x = nn.relu(instance_normalize(down(x)))
        block = ResidualBlock(conv, Conventions(), parent=None)
        return apply_in_turn(self, block, "block", self.residual_blocks, x)


class AttributeEncoder(nn.Module):
    """A domain's encoder of the manner of its pictures, a variational one (BicycleGAN's).

    A strided convolution and three residual blocks, each of which halves the picture at its end.
    """

    base_width: int = 64
    style_size: int = 8
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        """Return what the attributes of x [N, H, W, 3] in [-1, 1] may be, in float32 at least.

        H and W are 16 or more.
        """
        conv = convolution(self.kernel_init, self.dtype)
        activate = functools.partial(nn.leaky_relu, negative_slope=0.2)
        halve = functools.partial(nn.avg_pool, window_shape=(2, 2), strides=(2, 2))
        x = conv(self.base_width, 4, stride=2, padding=1, name="down")(x)
        for i in range(3):
            width = self.base_width * (i + 2)
            y = conv(x.shape[-1], 3, padding=1, name=f"block_{i}_conv_0")(activate(x))
            y = conv(width, 3, padding=1, name=f"block_{i}_conv_1")(activate(y))
            x = halve(y) + conv(width, 1, name=f"block_{i}_shortcut")(halve(x))
        wide = jnp.promote_types(self.dtype, jnp.float32)
        x = activate(x).astype(wide).mean((1, 2))
        # Their initialiser leaves dense layers as PyTorch draws them.
        dense = functools.partial(
            nn.Dense,
            self.style_size,
            kernel_init=fan_in_uniform,
            dtype=wide,
            precision=jax.lax.Precision.HIGHEST,
        )
        return Gaussian(dense(name="mean")(x), dense(name="log_variance")(x))


class Decoder(nn.Module):
    """A domain's own part of its generator: pictures from content and attributes.

    R256 once per residual block, u128, u64 and a 1×1 convolution, each of which sees the attributes
    as further channels; layer normalisation after the transposed convolutions.
    """

    base_width: int = 64
    residual_blocks: int = 3
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, styles: Array) -> Array:
        """Return pictures [N, 4 h, 4 w, 3] in (-1, 1), in float32 at least.

        x: content, [N, h, w, C]. styles: attributes, [N, style_size].
        """
        conv = convolution(self.kernel_init, self.dtype)
        block = ResidualBlock(conv, Conventions(), parent=None)
        x = with_channels(x.astype(self.dtype), styles)
        x = apply_in_turn(self, block, "block", self.residual_blocks, x)
        for i in (0, 1):
            x = with_channels(x, styles)
            width = x.shape[-1] // 2
            x = DoublingConv(width, self.kernel_init, self.dtype, name=f"up_{i}")(x)
            gamma = self.param(f"gamma_{i}", nn.initializers.ones, (width,))
            beta = self.param(f"beta_{i}", nn.initializers.zeros, (width,))
            # Without a share of instance normalisation it is layer normalisation.
            rho = jnp.zeros_like(gamma)
            x = nn.relu(instance_layer_normalize(x, rho, gamma, beta, unbiased=False))
        x = conv(3, 1, name="to_rgb")(with_channels(x, styles))
        return jnp.tanh(x.astype(jnp.promote_types(self.dtype, jnp.float32)))


class ContentDiscriminator(nn.Module):
    """Tell the contents of domain B from those of domain A.

    7×7 convolutions of stride 2, one of 4×4 pixels, and one to a logit; no normalisation. Three
    strided ones, as its authors have, need pictures of 212 px.
    """

    layers: int = 3  # those of stride 2
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Judge contents x [N, h, w, C] of pictures of `minimum_size(layers)` or more.

        Returns logits [N, h', w'], in float32 at least; > 0: "of domain B". At 216 px and with
        three layers it is one of each picture.
        """
        conv, width = convolution(self.kernel_init, self.dtype), x.shape[-1]
        for i in range(self.layers):
            x = nn.leaky_relu(conv(width, 7, stride=2, padding=1, name=f"conv_{i}")(x), SLOPE)
        x = nn.leaky_relu(conv(width, 4, name=f"conv_{self.layers}")(x), SLOPE)
        logits = conv(1, 1, name="logit")(x)[..., 0]
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))


def minimum_size(layers: int) -> int:
    """Return the smallest side, in px, for a content discriminator of so many strided layers."""
    side = 4
    for _ in range(layers):
        side = 2 * side + 3  # what is left of it is (side + 2 - 7) // 2 + 1
    return 4 * side


def convolution(kernel_init: Initializer, dtype: DTypeLike) -> Callable[..., nn.Module]:
    """Return DRIT's convolution: with a bias, also where a normalisation takes it away again."""
    return functools.partial(Conv, use_bias=True, kernel_init=kernel_init, dtype=dtype)


def with_channels(x: Array, styles: Array) -> Array:
    """Return x [N, h, w, C] with styles [N, S] at every pixel: [N, h, w, C + S]."""
    everywhere = jnp.broadcast_to(styles[:, None, None], (*x.shape[:3], styles.shape[-1]))
    return jnp.concatenate([x, everywhere.astype(x.dtype)], -1)
