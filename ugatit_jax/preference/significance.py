"""How far shares of choices can be relied on: intervals, and a paired test.

Choices of one person, and of one picture, go together, so that a hundred of them tell less than a
hundred that know nothing of each other would. Intervals count them for less; the test takes whole
pictures, or whole people, as its units.
"""

import math
from collections.abc import Sequence

import numpy as np

Z = 1.959964  # of a normal distribution, 95 % lie within so many standard deviations


def wilson(share: float, count: float) -> tuple[float, float]:
    """Return Wilson's interval (1927) of 95 % for a share of `count` independent choices.

    `count` need not be whole. Within [0, 1], and not empty at a share of 0 or 1.
    """
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    spread = math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    half = Z * spread / (1 + Z**2 / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def effective_count(chosen: np.ndarray, pictures: np.ndarray, people: np.ndarray) -> float:
    """Return how many independent choices these are worth.

    chosen, pictures, people: int [n], which method, picture and person each choice was of. The
    count is n over the design effect (Kish, 1965), the larger of that of pictures and of people,
    as dependence on both is not added up. Where all chose the same method there is no variance to
    tell it by: it is the number of pictures.
    """
    if (chosen == chosen[0]).all():
        return float(len(np.unique(pictures)))
    return len(chosen) / max(1.0, *(_design_effect(chosen, x) for x in (pictures, people)))


def _design_effect(chosen: np.ndarray, clusters: np.ndarray) -> float:
    """The variance of shares over whole clusters by that of independent choices.

    Averaged over the methods as Rao and Scott (1981) do, by their variances. 1 for one cluster.
    """
    _, index = np.unique(clusters, return_inverse=True)
    number, n = index.max() + 1, len(chosen)
    if number < 2:
        return 1.0
    indicators = (chosen[:, None] == np.unique(chosen)[None]).astype(float)
    shares = indicators.mean(axis=0)
    sums = np.zeros((number, len(shares)))
    np.add.at(sums, index, indicators - shares)
    over_clusters = number / (number - 1) * (sums**2).sum()
    return float(over_clusters / (n * (shares * (1 - shares)).sum()))


def sign_flip_test(differences: Sequence[int]) -> float:
    """Return the two-sided p-value of Fisher's exact test of paired differences.

    differences: of each unit, how many more chose one method than the other. If neither is better,
    each is as likely the other way round: p is the share of all 2^N ways whose sum is as far from 0
    as this one. With one choice per unit it is the sign test.
    """
    reach = sum(map(abs, differences))
    ways = np.zeros(2 * reach + 1)  # the probability of each sum, from -reach to reach
    ways[reach] = 1
    for step in map(abs, differences):
        ways = (np.roll(ways, step) + np.roll(ways, -step)) / 2  # nothing reaches the ends before
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(sum(differences))
    return min(1.0, float(ways[far].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that allow for there being several of them (Holm, 1979)."""
    adjusted, largest = list(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
