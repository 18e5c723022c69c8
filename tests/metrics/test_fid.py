import numpy as np
import pytest
import torch

from benchmarks.peers.fidelity import torch_fidelity
from ugatit_jax.console.errors import InputError
from ugatit_jax.metrics.fid import fid


def features(n: int, dimension: int, seed: int, mean: float = 0.4) -> np.ndarray:
    """Like a network's after its last ReLU: not negative, most of them small, some large."""
    return np.random.default_rng(seed).gamma(0.5, 2 * mean, (n, dimension))


def sample_of(mean: np.ndarray, covariance: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Pictures [n, d] of exactly this mean and covariance [d, d]."""
    noise = np.random.default_rng(seed).normal(size=(n, len(mean)))
    orthonormal = np.linalg.qr(noise - noise.mean(0))[0]  # its columns have mean 0
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    return mean + np.sqrt(n - 1) * orthonormal @ root


@pytest.mark.parametrize(("n", "m", "dimension"), [(300, 200, 16), (65, 500, 64), (700, 701, 96)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_score_is_torch_fidelitys(n: int, m: int, dimension: int, dtype: type) -> None:
    x, y = features(n, dimension, 0).astype(dtype), features(m, dimension, 1, 0.45).astype(dtype)
    # torch-fidelity takes the mean in the features' own precision.
    sides = (torch.from_numpy(side.astype(np.float64)) for side in (x, y))
    peer = torch_fidelity.metric_fid
    statistics = [peer.fid_features_to_statistics(side) for side in sides]
    score = peer.fid_statistics_to_metric(*statistics, verbose=False)
    assert fid(x, y) == pytest.approx(score["frechet_inception_distance"], rel=1e-9)


def test_gaussians_on_a_line() -> None:
    x, y = np.array([[0.0], [2.0], [4.0]]), np.array([[7.0], [8.0], [9.0]])
    assert fid(x, y) == pytest.approx((2 - 8) ** 2 + (2 - 1) ** 2)  # means, standard deviations


def test_shift_is_its_square() -> None:
    x = features(40, 8, 0)
    assert fid(x, x + 3) == pytest.approx(8 * 3**2)


@pytest.mark.parametrize("n", [6, 60])  # fewer pictures than dimensions, and more
def test_covariances_that_commute(n: int) -> None:
    # In their common eigenvectors the distance is that of each axis; most axes have no variance.
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    deviations_x, deviations_y = np.zeros(12), np.zeros(12)
    deviations_x[:4], deviations_y[2:5] = (3, 2, 1, 0.5), (4, 1, 2)
    picks = [rng.normal(size=(n, 5)) for _ in range(2)]
    whitened = [np.linalg.qr(pick - pick.mean(0))[0] * np.sqrt(n - 1) for pick in picks]
    x = whitened[0] * deviations_x[:5] @ vectors[:5]
    y = 0.25 + whitened[1] * deviations_y[:5] @ vectors[:5]
    expected = 12 * 0.25**2 + np.square(deviations_x - deviations_y).sum()
    assert fid(x, y) == pytest.approx(expected, rel=1e-12)


def test_covariances_that_do_not_commute() -> None:
    # For 2 × 2 matrices, Tr M^½ = √(Tr M + 2 √det M).
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[4.0, -1.0], [-1.0, 1.0]])
    product = first @ second
    trace = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = 25 + np.trace(first) + np.trace(second) - 2 * trace
    x = sample_of(np.zeros(2), first, 10)
    y = sample_of(np.array([3.0, 4.0]), second, 11, seed=1)
    assert fid(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [20, 200])
def test_set_is_no_distance_from_itself(n: int) -> None:
    x = features(n, 64, 0)
    order = np.random.default_rng(1).permutation(n)
    assert 0 <= fid(x, x[order]) < 1e-11


def test_constant_features() -> None:
    assert fid(np.full((5, 3), 2.0), np.full((4, 3), 1.0)) == pytest.approx(3)


def test_one_picture_is_told_in_a_line() -> None:
    with pytest.raises(InputError, match=r"first set .* too few pictures, 1: give 2 or more"):
        fid(features(1, 4, 0), features(3, 4, 1))
