"""Squares cut out and put back, against Pillow, NumPy and the picture itself."""

import numpy as np
import pytest
from PIL import Image
from portraits import astronaut

from ugatit_jax.faces.face import Face, without_overlaps
from ugatit_jax.faces.framing import Framing, Square, cut, measure_framing, paste


def test_a_square_of_whole_pixels_is_cut_as_it_is() -> None:
    picture = astronaut()
    np.testing.assert_array_equal(cut(picture, Square(150, 20, 128), 128), picture[20:148, 150:278])


@pytest.mark.parametrize("side", [96, 100.5, 300])
def test_a_square_is_scaled_as_pillow_scales(side: float) -> None:
    picture = astronaut()
    box = (101.25, 33.5, 101.25 + side, 33.5 + side)
    expected = Image.fromarray(picture).resize((128, 128), Image.Resampling.LANCZOS, box)
    found = cut(picture, Square(101.25, 33.5, side), 128)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 2


def test_what_lies_outside_is_mirrored() -> None:
    picture = astronaut()
    wide = np.pad(picture, ((100, 100), (100, 100), (0, 0)), "symmetric")
    np.testing.assert_array_equal(cut(picture, Square(-40, 480, 64), 64), wide[580:644, 60:124])
    assert Square(-40, 480, 64).outside(picture) == pytest.approx(1 - 24 * 32 / 64**2)
    assert Square(10, 10, 64).outside(picture) == 0


@pytest.mark.parametrize("square", [Square(150, 20, 128), Square(100.3, 50.7, 200.4)])
def test_what_is_put_back_unchanged_changes_nothing(square: Square) -> None:
    picture = astronaut()
    again = paste(picture, square, cut(picture, square, 256))
    apart = np.abs(again.astype(int) - picture)
    assert apart.mean() < 0.2 and np.percentile(apart, 99.9) <= 8


def test_a_patch_covers_the_middle_and_fades_out() -> None:
    picture = np.full((300, 300, 3), 50, np.uint8)
    result = paste(picture, Square(60, 80, 100), np.full((64, 64, 3), 250, np.uint8))
    assert (result[110:150, 90:130] == 250).all()
    outside = np.ones((300, 300), bool)
    outside[80:180, 60:160] = False
    assert (result[outside] == 50).all()
    steps = np.abs(np.diff(result[130, 55:165, 0].astype(int)))
    assert steps.max() <= 25  # of 200: nowhere an edge
    assert (picture == 50).all()


def test_a_patch_does_not_fade_where_the_picture_ends() -> None:
    picture = np.full((300, 300, 3), 50, np.uint8)
    result = paste(picture, Square(-20, 100, 100), np.full((64, 64, 3), 250, np.uint8))
    assert (result[150, :50] == 250).all() and result[150, 79, 0] < 60


def test_the_framing_of_a_set_is_measured_from_it() -> None:
    """Whoever frames faces so, and measures what came out, finds it again."""
    framing = Framing(1.7, 0.1, -0.2)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(25):
        face = Face(*rng.uniform(200, 300, 2), rng.uniform(80, 120), 1.0)
        square = framing.around(face)
        scale = 256 / square.side
        place = (face.x - square.left) * scale, (face.y - square.top) * scale
        found.append((Face(*place, face.side * scale, 1.0), 256))
    found += [(Face(10, 10, 20, 0.6), 256)] * 3  # found wrongly
    measured = measure_framing(found)
    assert measured.zoom == pytest.approx(1.7, abs=1e-6)
    assert (measured.right, measured.down) == (pytest.approx(0.1), pytest.approx(-0.2))


def test_of_faces_in_each_other_the_surest_is_kept() -> None:
    sure, larger, other = Face(100, 100, 50, 0.9), Face(105, 100, 90, 0.7), Face(200, 100, 50, 0.6)
    assert without_overlaps([other, larger, sure]) == [sure, other]
