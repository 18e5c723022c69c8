"""Fréchet inception distance: how far the Gaussians of two sets of features lie apart."""

import math

import numpy as np

from ugatit_jax.metrics.kid import check_features

# Below the dimension of Inception's features, a covariance of so many pictures is singular.
SMALLEST_SAMPLE = 2048  # pictures per side, under which FID depends much on their number


def fid(x: np.ndarray, y: np.ndarray) -> float:
    """Return the FID of two sets of features, [n, d] and [m, d].

    ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) (Heusel et al. 2017) with Bessel's correction in both
    covariances, in float64; a negative result, which only rounding can give, becomes 0. Right for
    singular covariances too. FID is biased upwards, the more so the fewer pictures there are:
    compare scores of equal numbers only. Raises `InputError` for fewer than 2 pictures on a side
    and for features that are not finite.
    """
    # With Σ₁ = AᵀA and Σ₂ = BᵀB the trace of (Σ₁Σ₂)^½ is the sum of the singular values of A·Bᵀ. A
    # root of the product itself loses half of the digits where a covariance is singular.
    x, y = check_features(x, y)
    mean_x, factor_x = _mean_and_factor(x)
    mean_y, factor_y = _mean_and_factor(y)
    root = np.linalg.svd(factor_x @ factor_y.T, compute_uv=False).sum()
    distance = np.square(mean_x - mean_y).sum()
    traces = np.square(factor_x).sum() + np.square(factor_y).sum()
    return max(0.0, float(distance + traces - 2 * root))


def _mean_and_factor(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean [d] of features [n, d], and A [min(n, d), d] with AᵀA their covariance."""
    n, dimension = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    factor = (features - mean) / math.sqrt(n - 1)
    return mean, np.asarray(np.linalg.qr(factor, mode="r")) if n > dimension else factor
