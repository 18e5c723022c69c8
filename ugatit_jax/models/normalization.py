"""Instance, adaptive and layer normalisation; AdaLIN and LIN, which mix them by a learned rho."""

import functools
from collections.abc import Callable

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
    def chosen(x: Array, *others: Array, **how: bool) -> Array:
        function = functools.partial(normalize, **how)
        kept = jax.checkpoint(function, policy=keep)
        return (kept if x.dtype.itemsize < 4 else function)(x, *others)

    return chosen


@_keep_narrow
def instance_layer_normalize(
    x: Array, rho: Array, gamma: Array, beta: Array, *, unbiased: bool = True
) -> Array:
    """Return `gamma * (rho * x_I + (1 - rho) * x_L) + beta`: eq. 1 of the paper.

    x_I is x minus its mean over its deviation per sample and channel, x_L the same per sample.

    Args:
      x: [N, H, W, C], any float type; statistics are taken in float32 at least.
      rho: [C], in [0, 1].
      gamma: [N, C] or [C].
      beta: [N, C] or [C].
      unbiased: whether variances have Bessel's correction.

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
    mean_l = mean_i.mean(3, keepdims=True)
    variance_l = (variance_i + jnp.square(mean_i - mean_l)).mean(3, keepdims=True)

    if unbiased:
        variance_i *= pixels / (pixels - 1)
        variance_l *= pixels * channels / (pixels * channels - 1)
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


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation: gamma and beta come from the attention features."""

    conventions: Conventions

    @nn.compact
    def __call__(self, x: Array, gamma: Array, beta: Array) -> Array:
        """Normalise x [N, H, W, C] with gamma and beta [N, C]."""
        start, margin = self.conventions.rho_start, self.conventions.rho_margin
        rho = self.param("rho", nn.initializers.constant(start), x.shape[-1:])
        if margin:
            rho = nn.relu(rho - margin)
        unbiased = self.conventions.unbiased_variance
        return instance_layer_normalize(x, rho, gamma, beta, unbiased=unbiased)


class LIN(nn.Module):
    """Layer-instance normalisation with a learned gamma and beta."""

    conventions: Conventions

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalise x [N, H, W, C]; rho starts at 0: all layer, no instance."""
        rho = self.param("rho", nn.initializers.zeros, x.shape[-1:])
        gamma = self.param("gamma", nn.initializers.ones, x.shape[-1:])
        beta = self.param("beta", nn.initializers.zeros, x.shape[-1:])
        unbiased = self.conventions.unbiased_variance
        return instance_layer_normalize(x, rho, gamma, beta, unbiased=unbiased)
