"""How alike two pictures are: in pixels, in structure, in features."""

import numpy as np
from scipy.ndimage import correlate1d

from ugatit_jax.console.errors import InputError

_WINDOW = 11  # px
_OFFSETS = np.arange(_WINDOW) - _WINDOW // 2
_GAUSSIAN = np.exp(-((_OFFSETS / 1.5) ** 2) / 2)
_GAUSSIAN /= _GAUSSIAN.sum()
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


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
    # On the host, as XLA would compile it again for every size.
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    means, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    variances, covariance = _blur(x**2 + y**2) - squares, _blur(x * y) - means
    alike = (2 * means + _C1) * (2 * covariance + _C2)
    return float((alike / ((squares + _C1) * (variances + _C2))).mean())


def _blur(x: np.ndarray) -> np.ndarray:
    """Gaussian means where the whole window is on the picture: [h, w, 3] to [h - 10, w - 10, 3]."""
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))
    rows = correlate1d(x, _GAUSSIAN, axis=0)[inside]
    return correlate1d(rows, _GAUSSIAN, axis=1)[:, inside]


def feature_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cosine distance of features [n, d] and [m, d], pair by pair, float64 [n, m].

    0 where they point the same way, 1 where they have nothing in common.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    return 1 - x @ y.T / np.maximum(norms, np.finfo(np.float64).tiny)
