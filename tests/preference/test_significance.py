"""Intervals and tests against SciPy's, against all ways counted one by one, and by simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ugatit_jax.preference.significance import effective_count, holm, sign_flip_test, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 20), (1, 20), (7, 20), (20, 20), (1975, 2700)])
def test_wilsons_interval_is_scipys(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(k / n, n), expected, atol=1e-7)


@pytest.mark.parametrize(
    "differences",
    [[], [0], [1], [1, -1], [1, 1, 1, 1, 1, 1], [3, -1, 2, 0, 5], [-4, 1, 1, 1, -2, 7, 3, 3, -1]],
)
def test_the_paired_test_counts_all_ways(differences: list[int]) -> None:
    ways = [
        abs(sum(sign * x for sign, x in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = np.mean([way >= abs(sum(differences)) for way in ways])
    assert sign_flip_test(differences) == pytest.approx(expected, abs=1e-12)


def test_the_paired_test_is_scipys_permutation_test_and_the_sign_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 10))
    expected = stats.permutation_test(
        (first, second),
        lambda x, y, axis: (x - y).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert sign_flip_test((first - second).tolist()) == pytest.approx(expected.pvalue, abs=1e-12)
    assert sign_flip_test([1] * 15 + [-1] * 5 + [0] * 9) == pytest.approx(
        stats.binomtest(5, 20).pvalue, abs=1e-12
    )


def test_holms_values_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([]) == []


def grid(people: int, pictures: int) -> tuple[np.ndarray, np.ndarray]:
    who, what = np.divmod(np.arange(people * pictures), pictures)
    return what, who


def test_choices_count_for_as_much_as_they_tell() -> None:
    what, who = grid(8, 25)
    rng = np.random.default_rng(0)
    of_pictures, of_people = rng.integers(0, 3, 25)[what], rng.integers(0, 3, 8)[who]
    # All agree on each picture: 25 pictures were asked about, no more. Likewise for people.
    assert effective_count(of_pictures, what, who) == pytest.approx(25, rel=0.05)
    assert effective_count(of_people, what, who) == pytest.approx(8, rel=0.15)
    independent = [effective_count(rng.integers(0, 3, 200), what, who) for _ in range(50)]
    assert 140 < np.mean(independent) <= 200
    assert effective_count(np.ones(200, int), what, who) == 25
    assert effective_count(rng.integers(0, 3, 25), *grid(1, 25)) == pytest.approx(25, rel=0.05)


def test_a_design_effect_by_hand() -> None:
    # Two pictures, two people; shares 3/4 and 1/4. Of the first method less its share, picture 0
    # has 2 · 1/4 and picture 1 has 1/4 − 3/4, of the second the opposite: the sum of squares is 1.
    # 2 / (2 − 1) · 1 / (4 · (3/16 + 3/16)) = 4/3, for people as well: 4 choices are worth 3.
    count = effective_count(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert count == pytest.approx(3)


@pytest.mark.parametrize("people", [1, 12])
def test_intervals_hold_the_truth_as_often_as_they_say(people: int) -> None:
    """Where tastes differ from picture to picture, which plain Wilson's intervals do not allow."""
    rng = np.random.default_rng(1)
    what, who = grid(people, 30)
    held, plain = [], []
    for _ in range(400):
        liking = rng.beta(0.5, 0.5, 30)  # the probability of method 1 for each picture; mean 1/2
        chosen = (rng.random(len(what)) < liking[what]).astype(int)
        for result, count in ((held, effective_count(chosen, what, who)), (plain, len(chosen))):
            low, high = wilson(chosen.mean(), count)
            result.append(low < 0.5 < high)
    assert np.mean(held) > 0.92
    assert people == 1 or np.mean(plain) < 0.7
