"""The generator: encoder, class attention, and a decoder whose AdaLIN the attention steers."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.attention import ClassAttention
from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.convolution import precision_of
from ugatit_jax.models.layers import (
    Conv,
    Initializer,
    ResidualBlock,
    RowParallelDense,
    UpSample,
    apply_in_turn,
)
from ugatit_jax.models.normalization import DECODER_FORMS, DecoderNorm, InstanceNorm


def means(x: Array, rows: int, columns: int) -> Array:
    """Return x [N, H, W, C] as the means of its equal parts, [N, rows, columns, C].

    `rows` divides H, and `columns` W.
    """
    n, height, width, channels = x.shape
    parts = x.reshape(n, rows, height // rows, columns, width // columns, channels)
    return parts.mean((2, 4))


def low_frequencies(x: Array) -> Array:
    """Return pictures x [N, H, W, C] as their means over 4×4 px, enlarged bilinearly."""
    height, width = x.shape[1:3]
    return jax.image.resize(means(x, height // 4, width // 4), x.shape, "bilinear")


# What of the input a generator adds to what its last convolution says, instead of tanh.
SKIPS: dict[str, Callable[[Array], Array | None]] = {
    "none": lambda x: None,
    "low": low_frequencies,
    "full": lambda x: x,
}


class Translation(NamedTuple):
    """What a generator returns."""

    image: Array  # [N, H, W, 3], in (-1, 1); with a skip it may leave that range
    # Of class attention, where the generator has it:
    cam_logits: Array | None  # [N, 2]; > 0: "from the source domain"
    heatmap: Array | None  # [N, H/4, W/4]


class Generator(nn.Module):
    """Translate pictures from one domain into the other (paper, table 4).

    Without class attention (`conventions.cam`), the decoder takes what the encoder says as it is:
    there are no two readings for a 1×1 convolution to merge. Where no normalisation adapts
    (`conventions.decoder_norm`), there are no layers that make gamma and beta either.
    """

    base_width: int = 64
    residual_blocks: int = 4
    light: bool = False
    mlp_pool: int = 1  # of light ones: the side of the map of means that the MLP sees
    conventions: Conventions = Conventions()
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32
    split_over: str | None = None  # the mapped axis that shares the rows of the MLP's first layer
    skip: str = "none"  # of SKIPS: what of the input is added to the last convolution's result

    @property
    def adaptive(self) -> bool:
        """Whether the decoder's gamma and beta come from the features."""
        return DECODER_FORMS[self.conventions.decoder_norm].adaptive

    @property
    def full(self) -> bool:
        """Whether gamma and beta come from the whole map: most of its weights, of one size."""
        return self.adaptive and not self.light

    @property
    def any_size(self) -> bool:
        """Whether it takes pictures of any size, and not only those it was initialised with."""
        return (self.light and self.mlp_pool == 1) or not self.adaptive

    @nn.compact
    def __call__(self, x: Array) -> Translation:
        """Translate x [N, H, W, 3] in [-1, 1]; H and W are multiples of 4.

        Where `any_size` is false, they are those that it was initialised with.
        """
        conventions, width, pictures = self.conventions, self.base_width, x
        use_bias = conventions.bias_everywhere
        conv: Callable[..., nn.Module] = functools.partial(
            Conv, use_bias=use_bias, kernel_init=self.kernel_init, dtype=self.dtype
        )

        x = conv(width, 7, padding=3, name="down_0")(x)
        x = nn.relu(InstanceNorm(conventions, name="down_norm_0")(x))
        for i in (1, 2):
            x = conv(width * 2**i, 3, stride=2, padding=1, name=f"down_{i}")(x)
            x = nn.relu(InstanceNorm(conventions, name=f"down_norm_{i}")(x))
        block = ResidualBlock(conv, conventions, parent=None)
        x = apply_in_turn(self, block, "encoder", self.residual_blocks, x)

        cam_logits = heatmap = style = None
        if conventions.generator_attends:
            attend = ClassAttention(
                conv, nn.relu, self.kernel_init, shared=conventions.shared_cam, name="cam"
            )
            x, cam_logits, heatmap = attend(x)
        if self.adaptive:
            pool = self.mlp_pool if self.light else 0
            style = StyleMLP(
                pool, use_bias, self.kernel_init, self.dtype, self.split_over, name="mlp"
            )(x)

        block = ResidualBlock(conv, conventions, DecoderNorm, parent=None)
        x = apply_in_turn(self, block, "decoder", self.residual_blocks, x, style)
        for i in (0, 1):
            x = UpSample(conv, conventions, width * 2 ** (1 - i), name=f"up_{i}")(x)
        x = conv(3, 7, padding=3, name="to_rgb")(x)
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        skipped = SKIPS[self.skip](pictures.astype(x.dtype))
        if skipped is None:
            return Translation(jnp.tanh(x), cam_logits, heatmap)
        return Translation(skipped + x, cam_logits, heatmap)


class StyleMLP(nn.Module):
    """Compute gamma and beta of AdaLIN or AdaIN from the (attended) features."""

    pool: int  # the side of the map of means that the first layer sees; 0: the whole map
    use_bias: bool
    kernel_init: Initializer
    dtype: DTypeLike
    split_over: str | None

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Return gamma and beta, both [N, C], for x [N, H, W, C]."""
        fields: dict[str, Any] = {
            "features": x.shape[-1],
            "use_bias": self.use_bias,
            "kernel_init": self.kernel_init,
            "dtype": self.dtype,
        }
        precision = precision_of(jnp.zeros((), self.dtype))
        dense = functools.partial(nn.Dense, precision=precision, **fields)
        if self.pool:
            x = dense(name="fc_0")(means(x, self.pool, self.pool).reshape(x.shape[0], -1))
        else:  # 268 million weights at 256 px, 96 % of all
            first = RowParallelDense(**fields, split_over=self.split_over, name="fc_0")
            x = first(x.reshape(x.shape[0], -1))
        x = nn.relu(x)
        x = nn.relu(dense(name="fc_1")(x))
        return dense(name="gamma")(x), dense(name="beta")(x)
