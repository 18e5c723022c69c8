"""How alike two pictures are: in pixels, in structure, in colour, in features."""

import numpy as np
from skimage import color, metrics

from ugatit_jax.console.errors import InputError

_WINDOW = 11  # px


def l1(x: np.ndarray, y: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures [h, w, 3], on a scale from 0 to 1."""
    return float(np.abs(x.astype(np.float32) - y.astype(np.float32)).mean() / 255)


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures [h, w, 3], 1 for equal ones.

    Wang et al. 2004, equation 13, with their Gaussian window (11 px, sigma 1.5), without padding;
    the mean of the three channels. Raises `InputError` for pictures smaller than the window.
    """
    if min(x.shape[:2]) < _WINDOW:
        raise InputError(
            f"no structural similarity of {x.shape[1]} × {x.shape[0]} px: its window takes "
            f"{_WINDOW} px; use larger pictures"
        )
    return float(
        metrics.structural_similarity(
            x,
            y,
            channel_axis=-1,
            gaussian_weights=True,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def colour_difference(x: np.ndarray, y: np.ndarray) -> float:
    """Mean CIEDE2000 (ΔE) of two uint8 sRGB pictures [h, w, 3], pixel by pixel.

    0 for equal ones; one sees about 1 side by side; black and white are 100 apart.
    """
    return float(color.deltaE_ciede2000(color.rgb2lab(x), color.rgb2lab(y)).mean())


def feature_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cosine distance of features [n, d] and [m, d], pair by pair, float64 [n, m].

    0 where they point the same way, 1 where they have nothing in common.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    return 1 - x @ y.T / np.maximum(norms, np.finfo(np.float64).tiny)
