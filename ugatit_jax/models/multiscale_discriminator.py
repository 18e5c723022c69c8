"""The discriminator of UNIT, MUNIT and DRIT: equal PatchGANs, each on pictures of half the size."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.layers import Conv, Initializer


class MultiscaleDiscriminator(nn.Module):
    """Tell real pictures of a domain from translated ones, at several scales (Wang et al., 2018).

    At each scale d64, d128, d256, d512 in the notation of MUNIT's appendix B, without
    normalisation, and a 1×1 convolution to one logit.
    """

    base_width: int = 64
    layers: int = 4  # those of a scale, all of stride 2
    scales: int = 3
    negative_slope: float = 0.2  # of the leaky ReLU
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """Judge x [N, H, W, 3] in [-1, 1]; H and W are at least `minimum_size(layers, scales)`.

        Returns the logits of each scale s, from 0: [N, H / 2^(s + layers), W / 2^(s + layers)], one
        per patch, in float32 at least; > 0.5: "real", where the loss is of least squares.
        """
        conv = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )
        logits = []
        for scale in range(self.scales):
            y = x
            for i in range(self.layers):
                down = conv(
                    self.base_width * 2**i, 4, stride=2, padding=1, name=f"scale_{scale}_conv_{i}"
                )
                y = nn.leaky_relu(down(y), negative_slope=self.negative_slope)
            y = conv(1, 1, name=f"scale_{scale}_logit")(y)[..., 0]
            logits.append(y.astype(jnp.promote_types(self.dtype, jnp.float32)))
            x = halve(x)
        return tuple(logits)


def halve(x: Array) -> Array:
    """Return x [N, H, W, C] at half the size, rounded up: means of the 3×3 pixels around every
    other pixel, of those that there are.
    """
    border = ((1, 1), (1, 1))
    return nn.avg_pool(x, (3, 3), (2, 2), border, count_include_pad=False)


def minimum_size(layers: int, scales: int) -> int:
    """Return the smallest side, in px, that every scale of so many layers can halve so often."""
    return 2 ** (layers + scales - 1)
