"""The discriminator: a PatchGAN with class attention and spectral normalisation."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.attention import ClassAttention
from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.layers import Conv, Initializer


class Judgement(NamedTuple):
    """What a discriminator returns."""

    logits: Array  # [N, h, w], one per patch; > 0: "real"
    # Of class attention, where the discriminator has it:
    cam_logits: Array | None  # [N, 2]
    heatmap: Array | None  # [N, h, w], or [N, h + 2, w + 2] without `same_padding`


class Discriminator(nn.Module):
    """Tell real pictures of a domain from translated ones (paper, tables 5 and 6).

    The local one has 5 layers, the global one 7; each stride doubles the patch that a logit sees.
    Without class attention (`conventions.cam`) its features go straight to the last convolution.
    """

    base_width: int = 64
    layers: int = 7
    conventions: Conventions = Conventions()
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Judgement:
        """Judge x [N, H, W, 3] in [-1, 1]; H and W are at least `minimum_size(layers)`."""
        conventions = self.conventions
        plain: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=True, kernel_init=self.kernel_init, dtype=self.dtype
        )
        conv = functools.partial(plain, spectral_norm=conventions.spectral_norm)
        activation = functools.partial(nn.leaky_relu, negative_slope=0.2)
        stride_1 = {"stride": 1, "padding": (1, 2) if conventions.same_padding else 1}
        stride_2 = {"stride": 2, "padding": 1}

        for i in range(self.layers - 1):
            how = stride_2 if i < self.layers - 2 else stride_1
            x = activation(conv(self.base_width * 2**i, 4, **how, name=f"conv_{i}")(x))
        cam_logits = heatmap = None
        if conventions.discriminator_attends:
            attend = ClassAttention(
                plain,
                activation,
                self.kernel_init,
                shared=conventions.shared_cam,
                spectral_norm=conventions.spectral_norm,
                name="cam",
            )
            x, cam_logits, heatmap = attend(x)
        use_bias = conventions.bias_everywhere
        logits = conv(1, 4, **stride_1, use_bias=use_bias, name="logit")(x)[..., 0]
        wide = jnp.promote_types(logits.dtype, jnp.float32)
        return Judgement(logits.astype(wide), cam_logits, heatmap)


def minimum_size(layers: int) -> int:
    """Return the smallest side, in px, that a discriminator of so many layers takes."""
    return 3 * 2 ** (layers - 2)
