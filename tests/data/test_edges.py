"""Smoothed edges against the paper's three steps, where they can be told without a detector."""

import math

import numpy as np

from ugatit_jax.data.edges import smooth_edges


def gaussian() -> np.ndarray:
    """What OpenCV's documentation says of a kernel of 5 px without a deviation."""
    sigma = 0.3 * ((5 - 1) * 0.5 - 1) + 0.8
    weights = np.array([math.exp(-(i**2) / (2 * sigma**2)) for i in range(-2, 3)])
    return weights / weights.sum()


def test_a_clear_edge_is_smoothed_and_the_rest_is_as_it_was() -> None:
    before = np.empty((24, 32, 3), np.uint8)
    before[:, :16], before[:, 16:] = (250, 240, 10), (20, 40, 200)
    after = smooth_edges(before)
    row = before[0].astype(float)
    smooth = np.stack([gaussian() @ row[i - 2 : i + 3] for i in range(2, 30)])
    smooth = np.concatenate([row[:2], smooth, row[-2:]])
    # Canny's edge is one pixel wide, on one side of the step; widened, it reaches 2 px further.
    changed = np.flatnonzero((after != before).any((0, 2)))
    assert {14, 15, 16, 17} <= {*changed} <= {13, 14, 15, 16, 17, 18}
    for column in changed:
        np.testing.assert_allclose(after[:, column], np.tile(smooth[column], (24, 1)), atol=0.51)


def test_what_has_no_clear_edge_is_as_it_was() -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    smooth = np.broadcast_to(ramp[None, :, None], (32, 64, 3)).copy()
    np.testing.assert_array_equal(smooth_edges(smooth), smooth)
    faint = np.full((32, 32, 3), 128, np.uint8)
    faint[8:24, 8:24] += 10
    np.testing.assert_array_equal(smooth_edges(faint), faint)


def test_lines_lose_their_contrast() -> None:
    drawing = np.full((40, 40, 3), 255, np.uint8)
    for i in range(5, 35):  # a slanted line of 2 px
        drawing[i, i // 2 + 5 : i // 2 + 7] = 0
    after = smooth_edges(drawing)
    assert after.dtype == np.uint8 and after.shape == drawing.shape
    line = (drawing == 0).all(-1)
    assert after[line].mean() > 60 and (after[:, 30:] == 255).all()
