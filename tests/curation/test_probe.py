"""Probes on domains of which it is known how well anything can tell them apart."""

from math import erf, sqrt

import numpy as np
import pytest

from ugatit_jax.curation.marks import Marks
from ugatit_jax.curation.probe import distances, tell_apart


@pytest.mark.parametrize("apart", [0, 1, 2.5])
def test_is_right_as_often_as_can_be(apart: float) -> None:
    """Of two normal distributions the best line is right in Φ(distance / 2) of the cases."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=12)
    direction /= np.linalg.norm(direction)
    first = rng.normal(size=(3000, 12))
    second = rng.normal(size=(600, 12)) + apart * direction
    probe = tell_apart(first * 7 + 3, second * 7 + 3)
    best = (1 + erf(apart / 2 / sqrt(2))) / 2
    assert probe is not None and probe.count == (2000, 600)
    assert abs(probe.accuracy - best) < 3 * probe.error + 0.01
    assert 0 < probe.error < 0.02


def test_many_features_of_few_pictures_tell_nothing_by_heart() -> None:
    rng = np.random.default_rng(0)
    probe = tell_apart(rng.normal(size=(60, 400)), rng.normal(size=(60, 400)))
    assert probe is not None and abs(probe.accuracy - 0.5) < 4 * probe.error


def test_features_that_are_the_same_in_all_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 100, 3)) + np.array([[[0]], [[4]]])
    first[:, 1] = second[:, 1] = 5
    probe = tell_apart(first, second)
    assert probe is not None and probe.accuracy > 0.97
    assert tell_apart(first[:19], second) is None


def test_distances_are_in_units_of_the_usual_one() -> None:
    points = np.array([[0, 0], [2, 0], [0, 2], [2, 2], [1, 1]], float)
    np.testing.assert_allclose(distances(points), [1, 1, 1, 1, 0])
    assert distances(np.zeros((0, 3))).shape == (0,)


def test_noise_leaves_no_mark_and_a_constant_one_is_found() -> None:
    rng = np.random.default_rng(0)
    without, within = Marks(), Marks()
    for _ in range(60):
        noise = rng.normal(0, 6, (128, 128)).round().clip(-24, 24).astype(np.int8)
        without.add(noise)
        noise[100:104, 20:40] = 15
        within.add(noise)
    assert without.find() is None
    mark = within.find()
    assert mark is not None
    assert mark.box == (100 / 128, 104 / 128, 20 / 128, 40 / 128)
