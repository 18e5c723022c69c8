"""Groups of near duplicates among many, against all pairs of them."""

import numpy as np
import pytest

from ugatit_jax.curation.duplicates import MOST_BITS, MOST_COLOUR, group_equal, group_near


def made_hashes(count: int, planted: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Random hashes, of which the last ones are the first ones but for some bits."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2, (count, 256), dtype=np.uint8)
    hashes[count - planted :] = hashes[:planted]
    for row in hashes[count - planted :]:
        row[rng.permutation(256)[:bits]] ^= 1
    colours = rng.uniform(0, 255, (count, 3))
    colours[count - planted :] = colours[:planted]
    return np.packbits(hashes, axis=1).view(np.uint64), colours


@pytest.mark.parametrize("bits", [0, 6, 36])
def test_pairs_among_many_are_found(bits: int) -> None:
    count, planted = 10_000, 200
    hashes, colours = made_hashes(count, planted, bits)
    groups = {tuple(group) for group in group_near(hashes, colours)}
    expected = {(i, count - planted + i) for i in range(planted)}
    assert groups <= expected and len(groups) >= 0.99 * planted


def test_as_all_pairs_say_where_there_are_few() -> None:
    rng = np.random.default_rng(1)
    centres = rng.integers(0, 2, (40, 256), dtype=np.uint8)
    rows = centres[rng.integers(0, 40, 600)]
    rows = rows ^ (rng.random(rows.shape) < 0.06).astype(np.uint8)
    colours = rng.uniform(0, 60, (600, 3))
    apart = (rows[:, None] != rows).sum(-1)
    alike = np.abs(colours[:, None] - colours).max(-1)
    linked = (apart <= MOST_BITS) & (alike <= MOST_COLOUR)
    found = group_near(np.packbits(rows, axis=1).view(np.uint64), colours)
    label = np.arange(600)
    for group in found:
        label[group] = group[0]
    # Groups are what pairs link, and all of it: reached by steps, from any of them.
    reached = linked
    for _ in range(10):
        reached = (reached.astype(np.float32) @ reached) > 0
    np.testing.assert_array_equal(label[:, None] == label, reached)
    assert len(found) > 20


def test_what_is_equal_is_grouped_in_order() -> None:
    assert group_equal(["b", "a", "b", "c", "a", "b"]) == [[0, 2, 5], [1, 4]]
    assert group_near(np.zeros((0, 4), np.uint64), np.zeros((0, 3))) == []


def test_many_of_one_hash_take_no_time_for_all_their_pairs() -> None:
    hashes, colours = np.zeros((10_000, 4), np.uint64), np.zeros((10_000, 3))
    assert group_near(hashes, colours) == [list(range(10_000))]
