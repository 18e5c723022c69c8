"""Likeness of pictures against the same by other means."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from similarity import noise, ssim_by_tensorflow

from ugatit_jax.console.errors import InputError
from ugatit_jax.metrics.similarity import colour_difference, feature_distance, l1, ssim


def ssim_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equations 13 to 16, window by window, on a scale of 1."""
    window = np.exp(-(np.mgrid[-5:6, -5:6] ** 2).sum(0) / (2 * 1.5**2))
    window /= window.sum()
    patches = np.lib.stride_tricks.sliding_window_view(np.stack([x, y]) / 255, (11, 11), (1, 2))

    def mean(z: np.ndarray) -> np.ndarray:
        return (window * z).sum((-2, -1), keepdims=True)

    means = mean(patches)
    (dx, dy), (mx, my) = patches - means, means
    alike = (2 * mx * my + 0.01**2) * (2 * mean(dx * dy) + 0.03**2)
    unlike = (mx**2 + my**2 + 0.01**2) * (mean(dx**2) + mean(dy**2) + 0.03**2)
    return float(np.mean(alike / unlike))


@pytest.mark.parametrize("mix", [0.0, 0.3, 0.9, 1.0])
def test_ssim_is_that_of_the_paper(mix: float) -> None:
    x, other = noise(24, 40, 3), noise(24, 40, 3, seed=1)
    x[:, :20] = 200  # half of it flat, where the constants decide
    y = np.rint(mix * x + (1 - mix) * other).astype(np.uint8)
    assert ssim(x, y) == pytest.approx(ssim_by_tensorflow(x, y), abs=1e-4)
    assert ssim(x, y) == pytest.approx(ssim_by_definition(x, y), abs=1e-9)


def test_ssim_of_a_negative_is_negative() -> None:
    x = noise(24, 24, 3)
    assert ssim(x, 255 - x) == pytest.approx(ssim_by_tensorflow(x, 255 - x), abs=1e-4)
    assert ssim(x, 255 - x) < 0


@pytest.mark.parametrize(
    ("x", "y", "known"),
    [  # sRGB's primaries, as tables of colour differences have them
        ((0, 0, 0), (255, 255, 255), 100.0),
        ((255, 0, 0), (0, 255, 0), 86.61),
        ((255, 0, 0), (0, 0, 255), 52.88),
        ((0, 255, 0), (0, 0, 255), 83.19),
    ],
)
def test_a_colour_difference_is_the_mean_of_ciede2000(
    x: tuple[int, int, int], y: tuple[int, int, int], known: float
) -> None:
    left, right = (np.full((2, 4, 3), value, np.uint8) for value in (x, y))
    assert colour_difference(left, right) == pytest.approx(known, abs=0.02)
    right[:, 0] = left[:, 0]
    assert colour_difference(left, right) == pytest.approx(0.75 * known, abs=0.02)


def test_ssim_of_a_picture_with_itself_is_one() -> None:
    x = noise(24, 40, 3)
    assert ssim(x, x) == pytest.approx(1, abs=1e-12)


def test_ssim_compiles_nothing_whatever_the_size(caplog: pytest.LogCaptureFixture) -> None:
    with jax.log_compiles():
        for side in (11, 23, 30):
            ssim(noise(side, side + 1, 3), noise(side, side + 1, 3, seed=1))
    assert not caplog.records


def test_ssim_of_tiny_pictures_is_refused() -> None:
    with pytest.raises(InputError, match="20 × 10 px: its window takes 11 px"):
        ssim(noise(10, 20, 3), noise(10, 20, 3))


def test_l1_is_on_a_scale_of_one() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert l1(black, black + 255) == l1(black + 255, black) == 1.0
    assert l1(black + 10, black + 61) == pytest.approx(0.2)


def test_feature_distance_is_the_cosine_distance() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((5, 8), np.float32), rng.random((3, 8), np.float32)
    np.testing.assert_allclose(feature_distance(x, y), cdist(x, y, "cosine"), atol=1e-12)
    assert feature_distance(x, 2 * x).diagonal() == pytest.approx(0, abs=1e-12)


def test_features_of_nothing_are_like_no_other() -> None:
    assert feature_distance(np.zeros((1, 4)), np.ones((1, 4))).item() == 1
