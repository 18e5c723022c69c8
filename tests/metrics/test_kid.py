import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmarks.peers.fidelity import torch_fidelity
from ugatit_jax.console.errors import InputError
from ugatit_jax.metrics.kid import block_kid, kid, mean_kid


def features(n: int, dimension: int, seed: int, mean: float = 0.4) -> np.ndarray:
    """Like a network's after its last ReLU: not negative, most of them small, some large."""
    return np.random.default_rng(seed).gamma(0.5, 2 * mean, (n, dimension))


def column(*values: float) -> np.ndarray:
    """Features of one dimension, where the kernel is (x·y + 1)³."""
    return np.array(values)[:, None]


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, pair by pair."""

    def mean_kernel(a: np.ndarray, b: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if a is not b or i != j]
        kernels = [(a[i].dot(b[j]) / len(a[i]) + 1) ** 3 for i, j in pairs]
        return math.fsum(kernels) / len(pairs)

    return mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)


def torch_fidelity_kid(x: np.ndarray, y: np.ndarray, subsets: int, size: int) -> list[float]:
    sides = torch.from_numpy(x), torch.from_numpy(y)
    scores = torch_fidelity.metric_kid.kid_features_to_metric(
        *sides, kid_subsets=subsets, kid_subset_size=size, verbose=False
    )
    return [scores[f"kernel_inception_distance_{name}"] for name in ("mean", "std")]


@pytest.mark.parametrize(
    ("n", "m", "dimension", "subsets", "size"),
    [
        (40, 40, 16, 10, 10),
        (61, 35, 2048, 20, 35),
        (2100, 1300, 24, 10, 200),  # more than a tile, the last one padded
        (24, 1500, 8, 5, 7),  # one side is all in the first tile
    ],
)
def test_score_is_torch_fidelitys(n: int, m: int, dimension: int, subsets: int, size: int) -> None:
    x, y = features(n, dimension, 0), features(m, dimension, 1, mean=0.42)
    score = kid(x, y, subsets, size)
    expected = torch_fidelity_kid(x, y, subsets, size)
    np.testing.assert_allclose([score.mean, score.std], expected, rtol=1e-9)
    assert (score.subsets, score.subset_size) == (subsets, size)


def test_small_score_keeps_its_digits() -> None:
    x, other = features(300, 64, 0), features(300, 64, 1)
    y = x + 0.8263 * (other - x)  # scores go from negative to positive here
    score = kid(x, y, subsets=2, subset_size=300)
    assert 0 < abs(score.mean) < 1e-5
    np.testing.assert_allclose(score.mean, torch_fidelity_kid(x, y, 2, 300)[0], rtol=1e-6)


def test_float32_features_are_computed_in_float64() -> None:
    x, y = (features(50, 64, seed).astype(np.float32) for seed in (0, 1))
    expected = torch_fidelity_kid(x.astype(np.float64), y.astype(np.float64), 10, 20)
    score = kid(x, y, 10, 20)
    np.testing.assert_allclose([score.mean, score.std], expected, rtol=1e-9)
    assert jnp.ones(1).dtype == jnp.float32  # for the caller nothing has changed


def test_score_is_its_definition() -> None:
    x, y = features(6, 3, 0), features(5, 3, 1)
    draws = np.random.RandomState(7)
    expected = [
        mmd2(x[draws.choice(6, 4, replace=False)], y[draws.choice(5, 4, replace=False)])
        for _ in range(3)
    ]
    score = kid(x, y, subsets=3, subset_size=4, seed=7)
    np.testing.assert_allclose(
        [score.mean, score.std], [np.mean(expected), np.std(expected)], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("n", "m", "size"), [(2, 9, 2), (7, 9, 3), (999, 1000, 499), (1000, 1001, 1000)]
)
def test_default_subset_size_suits_the_smaller_set(n: int, m: int, size: int) -> None:
    assert kid(features(n, 2, 0), features(m, 2, 1), subsets=2).subset_size == size


def test_constant_features() -> None:
    a, b = np.full((6, 4), 0.5), np.full((5, 4), 2.0)
    assert kid(a, a[:5]).mean == pytest.approx(0, abs=1e-12)
    score = kid(a, b)
    # k(a, a) + k(b, b) - 2 k(a, b)
    assert score.mean == pytest.approx(1.25**3 + 5**3 - 2 * 2**3, rel=1e-12)
    assert score.std == pytest.approx(0, abs=1e-12)


def test_tpu_leaves_float64_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(8, 3, 0), features(8, 3, 1)
    expected = kid(x, y)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert kid(x, y) == expected


def test_blocks_are_even_and_the_larger_ones_last() -> None:
    x, y = features(40, 3, 0), features(14, 3, 1)
    cuts_x, cuts_y = (0, 10, 20, 30, 40), (0, 3, 6, 10, 14)
    expected = [mmd2(x[cuts_x[i] : cuts_x[i + 1]], y[cuts_y[i] : cuts_y[i + 1]]) for i in range(4)]
    score = block_kid(x, y)
    assert score.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert score.standard_error == pytest.approx(np.std(expected, ddof=1) / 2, rel=1e-12)
    assert score.blocks == 4


def test_mean_kid_of_one_block_by_hand() -> None:
    translated, target, source = column(0, 1), column(1, 2), column(0, -1)
    # Within: k(0, 1) = 1, k(1, 2) = 27, k(0, -1) = 1. Across, to the target: 1, 1, 8 and 27, on
    # average 37/4; to the source: 1, 1, 1 and 0, on average 3/4.
    assert block_kid(translated, target).mean == pytest.approx(1 + 27 - 2 * 37 / 4)  # 19/2
    assert block_kid(translated, source).mean == pytest.approx(1 + 1 - 2 * 3 / 4)  # 1/2
    score = mean_kid(translated, target, source)
    assert score.mean_kid.value == pytest.approx(5)
    assert score.weighted_mean_kid.value == pytest.approx(0.34)  # (0.19 + 0.49) / 2
    assert math.isnan(score.mean_kid.spread) and math.isnan(score.weighted_mean_kid.spread)


def test_mean_kid_of_two_blocks_by_hand() -> None:
    translated = column(*[0] * 5, *[1] * 6)  # blocks of 5 and 6 pictures, all equal within one
    target, source = column(*[1] * 12), column(*[-1] * 11)
    # k(a, a) + k(b, b) - 2 k(a, b). To the target: 1 + 8 - 2, then 0. To the source: 1 + 8 - 2,
    # then 8 + 8 - 0. The standard error of two values is half of their difference.
    for other, mean, error in ((target, 3.5, 3.5), (source, 11.5, 4.5)):
        score = block_kid(translated, other)
        assert (score.mean, score.standard_error) == pytest.approx((mean, error))
        assert score.blocks == 2
    both = mean_kid(translated, target, source)
    assert (both.mean_kid.value, both.mean_kid.spread) == pytest.approx((7.5, 4))
    weighted = both.weighted_mean_kid
    assert weighted.value == pytest.approx(5.67)  # (0.02 · 3.5 + 0.98 · 11.5) / 2
    assert weighted.spread == pytest.approx(2.24)  # (0.02 · 3.5 + 0.98 · 4.5) / 2


def test_untranslated_pictures_have_half_of_the_kid() -> None:
    source, target = features(30, 8, 0), features(30, 8, 1, mean=0.8)
    score = mean_kid(source, target, source).mean_kid.value
    assert score < 0.5 * block_kid(source, target).mean


def test_bad_input_is_told_in_a_line() -> None:
    x, y = features(6, 2, 0), features(5, 2, 1)
    for size in (1, 6):
        with pytest.raises(InputError, match=rf"size of {size} .* 6 and 5 pictures: take 2 to 5$"):
            kid(x, y, subset_size=size)
    with pytest.raises(InputError, match="0 subsets make no KID"):
        kid(x, y, subsets=0)
    with pytest.raises(InputError, match=r"second set .* too few pictures, 1: give 2 or more"):
        kid(x, y[:1])
    with pytest.raises(InputError, match=r"first set .* too few pictures, 0"):
        block_kid(x[:0], y)
    x[3, 1] = np.inf
    with pytest.raises(InputError, match=r"first set .* not finite, those of picture 4 of 6"):
        kid(x, y)
    with pytest.raises(InputError, match=r"3 blocks .* needs 6 or more"):
        block_kid(features(21, 2, 0), y)
    with pytest.raises(ValueError, match=r"shapes \(6, 2\) and \(5, 1\)"):
        kid(x, y[:, :1])
