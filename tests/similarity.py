"""Pictures of noise, and their SSIM by SciPy."""

import numpy as np
from scipy.ndimage import gaussian_filter


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def ssim_by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, in float64."""

    def blur(z: np.ndarray) -> np.ndarray:  # radius 5: a window of 11 px, whole ones only
        return gaussian_filter(z, 1.5, radius=5, axes=(0, 1))[5:-5, 5:-5]

    x, y = x.astype(np.float64) / 255, y.astype(np.float64) / 255
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(similarity.mean())
