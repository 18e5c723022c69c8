"""Instance, adaptive and layer normalisation; AdaLIN and LIN, which mix them by a learned rho."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from ugatit_jax.models.conventions import Conventions

EPSILON = 1e-5
STATISTICS = "statistics"


def _keep_narrow(normalize: Callable[..., Array]) -> Callable[..., Array]:
    """Keep x [N, H, W, C] and its statistics for the backward pass, not float32 copies of x.

    A light step of one picture at 256 px moves 2.3 GB less of 15 for it on a TPU v5e, and its
    activations take 0.9 GiB less. Where x is float32 there is nothing to save, and it takes time.
    """
    keep = jax.checkpoint_policies.save_only_these_names(STATISTICS)

    @functools.wraps(normalize)
    def chosen(x: Array, *others: Array | float, **how: int) -> Array:
        function = functools.partial(normalize, **how)
        kept = jax.checkpoint(function, policy=keep)
        return (kept if x.dtype.itemsize < 4 else function)(x, *others)

    return chosen


@_keep_narrow
def instance_layer_normalize(
    x: Array,
    rho: Array | float,
    gamma: Array,
    beta: Array,
    *,
    unbiased: bool = True,
    groups: int = 1,
) -> Array:
    """Return `gamma * (rho * x_I + (1 - rho) * x_L) + beta`: eq. 1 of the paper.

    x_I is x minus its mean over its deviation per sample and channel, x_L the same per sample, or
    per sample and group of channels. So rho = 1 is instance normalisation, or AdaIN (Huang and
    Belongie, 2017) where gamma and beta are of samples; rho = 0 is layer normalisation (Ba et al.,
    2016), or group normalisation (Wu and He, 2018).

    Args:
      x: [N, H, W, C], any float type; statistics are taken in float32 at least.
      rho: [C] or a number, in [0, 1].
      gamma: [N, C] or [C].
      beta: [N, C] or [C].
      unbiased: whether variances have Bessel's correction.
      groups: of neighbouring channels, which x_L is normalised over; a divisor of C.

    Returns:
      [N, H, W, C] of x's type.
    """
    x_dtype = x.dtype
    x = x.astype(jnp.promote_types(x_dtype, jnp.float32))
    pixels, channels = x.shape[1] * x.shape[2], x.shape[3]

    mean_i, variance_i = _statistics(x)
    # The layer's statistics follow from the channels' (law of total variance), which saves two
    # passes over x; and both normalisations are one multiplication and one addition per pixel.
    # Forward and backward are 4 to 12 times faster for it on a CPU: benchmarks/normalization.py.
    mean_l = _group_means(mean_i, groups)
    variance_l = _group_means(variance_i + jnp.square(mean_i - mean_l), groups)

    if unbiased:
        variance_i *= pixels / (pixels - 1)
        values = pixels * channels // groups
        variance_l *= values / (values - 1)
    weight_i = rho / jnp.sqrt(variance_i + EPSILON)
    weight_l = (1 - rho) / jnp.sqrt(variance_l + EPSILON)
    gamma, beta = (p.reshape(-1, 1, 1, channels) for p in (gamma, beta))
    scale = gamma * (weight_i + weight_l)
    shift = beta - gamma * (weight_i * mean_i + weight_l * mean_l)
    return (x * scale + shift).astype(x_dtype)


@_keep_narrow
def instance_normalize(x: Array) -> Array:
    """Normalise every sample and channel of x [N, H, W, C] over its pixels; no parameters."""
    x_dtype = x.dtype
    x = x.astype(jnp.promote_types(x_dtype, jnp.float32))
    mean, variance = _statistics(x)
    return ((x - mean) / jnp.sqrt(variance + EPSILON)).astype(x_dtype)


def adaptive_instance_normalize(x: Array, gamma: Array, beta: Array) -> Array:
    """Return `gamma * instance_normalize(x) + beta`: AdaIN (Huang and Belongie, 2017).

    x is [N, H, W, C], gamma and beta are [N, C].
    """
    gamma, beta = (p[:, None, None].astype(x.dtype) for p in (gamma, beta))
    return instance_normalize(x) * gamma + beta


@_keep_narrow
def layer_normalize(x: Array, gamma: Array, beta: Array) -> Array:
    """Normalise every sample of x [N, H, W, C] over pixels and channels; gamma and beta are [C].

    As MUNIT's authors do: the variance has Bessel's correction, and epsilon is added to the
    deviation, not to the variance.
    """
    x_dtype = x.dtype
    x = x.astype(jnp.promote_types(x_dtype, jnp.float32))
    mean = checkpoint_name(x.mean((1, 2, 3), keepdims=True), STATISTICS)
    count = x[0].size
    variance = jnp.square(x - mean).sum((1, 2, 3), keepdims=True) / (count - 1)
    variance = checkpoint_name(variance, STATISTICS)
    deviation = jnp.sqrt(jnp.maximum(variance, 1e-24))  # differentiable at 0
    return ((x - mean) / (deviation + EPSILON) * gamma + beta).astype(x_dtype)


def _group_means(of_channels: Array, groups: int) -> Array:
    """Return the means of groups of channels' statistics [N, 1, 1, C], at each channel."""
    if groups == 1:
        return of_channels.mean(3, keepdims=True)  # [N, 1, 1, 1]
    means = of_channels.reshape(*of_channels.shape[:3], groups, -1).mean(4)
    return jnp.repeat(means, of_channels.shape[3] // groups, axis=3)


def _statistics(x: Array) -> tuple[Array, Array]:
    """Return mean and variance of every sample and channel of x [N, H, W, C], [N, 1, 1, C]."""
    mean = checkpoint_name(x.mean((1, 2), keepdims=True), STATISTICS)
    variance = jnp.square(x - mean).mean((1, 2), keepdims=True)
    return mean, checkpoint_name(variance, STATISTICS)


class InstanceNorm(nn.Module):
    """Instance normalisation, maybe with a learned gamma and beta."""

    conventions: Conventions

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalise x [N, H, W, C]."""
        x = instance_normalize(x)
        if self.conventions.affine_instance_norm:
            gamma = self.param("gamma", nn.initializers.ones, x.shape[-1:])
            beta = self.param("beta", nn.initializers.zeros, x.shape[-1:])
            x = x * gamma.astype(x.dtype) + beta.astype(x.dtype)
        return x


class LayerNorm(nn.Module):
    """Layer normalisation with a learned gamma, drawn from U(0, 1) at first, and beta."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalise x [N, H, W, C]."""
        gamma = self.param("gamma", nn.initializers.uniform(1.0), x.shape[-1:])
        beta = self.param("beta", nn.initializers.zeros, x.shape[-1:])
        return layer_normalize(x, gamma, beta)


class DecoderForm(NamedTuple):
    """What of `instance_layer_normalize` a decoder's normalisation is."""

    rho: float | None  # None: it is learned
    # Whether residual blocks take gamma and beta from the attention features, or learn their own.
    adaptive: bool
    grouped: bool = False  # whether the layer's statistics are of groups of channels


DECODER_FORMS = {
    "adalin": DecoderForm(None, adaptive=True),
    "in": DecoderForm(1.0, adaptive=False),
    "ln": DecoderForm(0.0, adaptive=False),
    "adain": DecoderForm(1.0, adaptive=True),
    "gn": DecoderForm(0.0, adaptive=False, grouped=True),
}


def group_count(channels: int) -> int:
    """Return how many groups "gn" makes of channels: 32, as Wu and He do, where C allows.

    Fewer, a power of two, where a group would have less than two channels, or C cannot be divided:
    a group of one channel is instance normalisation.
    """
    return next(n for n in (32, 16, 8, 4, 2, 1) if n == 1 or channels % (2 * n) == 0)


class DecoderNorm(nn.Module):
    """The decoder's normalisation: AdaLIN and LIN, or what the paper's ablation has there.

    | `decoder_norm` | residual blocks                   | up-sampling blocks  |
    |----------------|-----------------------------------|---------------------|
    | adalin         | AdaLIN                            | LIN                 |
    | in, ln, gn     | instance, layer or group          | the same            |
    | adain          | AdaIN                             | instance            |

    AdaLIN and AdaIN take gamma and beta from the attention features; all others learn their own,
    from 1 and 0 on. AdaLIN and LIN learn rho, and their variances have Bessel's correction if the
    conventions say so; those of the others have none, as is usual.
    """

    conventions: Conventions

    @nn.compact
    def __call__(self, x: Array, style: tuple[Array, Array] | None = None) -> Array:
        """Normalise x [N, H, W, C]; style: gamma and beta, both [N, C], or None to learn them."""
        conventions, channels = self.conventions, x.shape[-1]
        form, unbiased = DECODER_FORMS[conventions.decoder_norm], False
        rho: Array | float | None = form.rho
        if rho is None:
            start, margin, unbiased = 0.0, 0.0, conventions.unbiased_variance  # LIN: all layer
            if style is not None:
                start, margin = conventions.rho_start, conventions.rho_margin
            rho = self.param("rho", nn.initializers.constant(start), (channels,))
            if margin:
                rho = nn.relu(rho - margin)
        if style is None:
            gamma = self.param("gamma", nn.initializers.ones, (channels,))
            beta = self.param("beta", nn.initializers.zeros, (channels,))
        else:
            gamma, beta = style
        groups = group_count(channels) if form.grouped else 1
        return instance_layer_normalize(x, rho, gamma, beta, unbiased=unbiased, groups=groups)
