"""CartoonGAN's networks (Chen et al., CVPR 2018, figure 2)."""

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

CONVENTIONS = Conventions(affine_instance_norm=True)


class CartoonGenerator(nn.Module):
    """Make photographs into cartoons.

    k7n64s1; k3n128s2, k3n128s1; k3n256s2, k3n256s1; eight residual blocks of k3n256s1; k3n128s½,
    k3n128s1; k3n64s½, k3n64s1; k7n3s1 in the paper's notation. What stands between semicolons ends
    in an instance normalisation with a learned gamma and beta, and ReLU; the last in tanh.
    """

    base_width: int = 64
    residual_blocks: int = 8
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Translate x [N, H, W, 3] in [-1, 1]; H and W are multiples of 4, and at least 8.

        Returns pictures [N, H, W, 3] in (-1, 1), in float32 at least.
        """
        width = self.base_width
        mirrored: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )
        conv = functools.partial(mirrored, kernel_size=3, padding=1, padding_mode="constant")

        def normalized(x: Array, name: str) -> Array:
            return nn.relu(InstanceNorm(CONVENTIONS, name=name)(x))

        x = normalized(mirrored(width, 7, padding=3, name="first")(x), "first_norm")
        for i in (0, 1):
            x = conv(width * 2 ** (i + 1), stride=2, name=f"down_{i}")(x)
            x = conv(width * 2 ** (i + 1), name=f"flat_{i}")(x)
            x = normalized(x, f"down_norm_{i}")
        block = ResidualBlock(mirrored, CONVENTIONS, parent=None)
        x = apply_in_turn(self, block, "block", self.residual_blocks, x)
        for i in (0, 1):
            features = width * 2 ** (1 - i)
            x = DoublingConv(features, self.kernel_init, self.dtype, name=f"up_{i}")(x)
            x = conv(features, name=f"up_flat_{i}")(x)
            x = normalized(x, f"up_norm_{i}")
        x = mirrored(3, 7, padding=3, name="to_rgb")(x)
        return jnp.tanh(x.astype(jnp.promote_types(self.dtype, jnp.float32)))


class CartoonDiscriminator(nn.Module):
    """Tell cartoons from photographs made into such, and from cartoons without clear edges.

    k3n32s1; k3n64s2, k3n128s1; k3n128s2, k3n256s1; k3n256s1; k3n1s1 in the paper's notation. After
    k3n128s1 and each k3n256s1 comes an instance normalisation with a learned gamma and beta; after
    all but the last, leaky ReLU.
    """

    base_width: int = 32
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Judge x [N, H, W, 3] in [-1, 1].

        Returns logits [N, H/4, W/4], rounded up, one per patch, in float32 at least; > 0: "real".
        """
        width = self.base_width
        conv = functools.partial(
            Conv,
            kernel_size=3,
            padding=1,
            padding_mode="constant",
            use_bias=True,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )
        rectify = functools.partial(nn.leaky_relu, negative_slope=0.2)

        def normalized(x: Array, name: str) -> Array:
            return rectify(InstanceNorm(CONVENTIONS, name=name)(x))

        x = rectify(conv(width, name="first")(x))
        for i in (0, 1):
            x = rectify(conv(width * 2 ** (i + 1), stride=2, name=f"down_{i}")(x))
            x = normalized(conv(width * 2 ** (i + 2), name=f"flat_{i}")(x), f"norm_{i}")
        x = normalized(conv(width * 8, name="last")(x), "last_norm")
        logits = conv(1, name="logit")(x)[..., 0]
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))
