"""CycleGAN's discriminator: a PatchGAN whose logits look at 70×70 pixels each."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.layers import Conv, Initializer
from ugatit_jax.models.normalization import InstanceNorm


class PatchDiscriminator(nn.Module):
    """Tell real pictures of a domain from translated ones (Zhu et al., ICCV 2017, appendix 7.2).

    C64, C128, C256, C512 in the paper's notation, and a convolution to one logit. Three strided
    layers see patches of 70 px, two of 34 px, four of 142 px.
    """

    base_width: int = 64
    layers: int = 3  # those of stride 2; two of stride 1 follow
    normalize: bool = True  # instances, after each convolution but the first and the last
    normalize_first: bool = False  # after the first, too
    affine: bool = False  # a learned gamma and beta after every normalisation
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Judge x [N, H, W, 3] in [-1, 1]; H and W are at least `minimum_size(layers)`.

        Returns logits [N, H / 2^layers - 2, W / 2^layers - 2], one per patch, in float32 at least;
        > 0: "real".
        """
        conv = functools.partial(
            Conv,
            kernel_size=4,
            padding=1,
            padding_mode="constant",
            use_bias=True,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )
        conventions = Conventions(affine_instance_norm=self.affine)
        for i in range(self.layers + 1):
            width = self.base_width * min(2**i, 8)
            x = conv(width, stride=2 if i < self.layers else 1, name=f"conv_{i}")(x)
            if self.normalize and (i > 0 or self.normalize_first):
                x = InstanceNorm(conventions, name=f"norm_{i}")(x)
            x = nn.leaky_relu(x, negative_slope=0.2)
        logits = conv(1, name="logit")(x)[..., 0]
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))


def minimum_size(layers: int) -> int:
    """Return the smallest side, in px, that a discriminator of so many strided layers takes."""
    return 3 * 2**layers
