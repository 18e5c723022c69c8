"""Every way to fit a picture, with a plain function of pixels in the place of the network."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.inference.fit import (
    HEATMAP_SCALE,
    NATIVE_STEP,
    Fitted,
    check_mode,
    fit_alpha,
    fit_picture,
)

SIZE = (32, 48)
OWN_SIZE = ("stretch", "pad", "tile", "native")


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without fine detail: it survives being scaled down and up."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    channels = [np.sin(3 * x + y), np.cos(2 * y), x * y]
    return np.rint(127.5 + 120 * np.stack(channels, -1).clip(-1, 1)).astype(np.uint8)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def invert(tile: np.ndarray) -> np.ndarray:
    return 255 - tile


def brightness(tile: np.ndarray) -> np.ndarray:
    """A heat map of a tile: the mean of every block of pixels, with 300 added."""
    height, width = (side // HEATMAP_SCALE for side in tile.shape[:2])
    blocks = tile.reshape(height, HEATMAP_SCALE, width, HEATMAP_SCALE * 3).astype(np.float32)
    return 300 + blocks.mean((1, 3))


def through(fitted: Fitted, network: Callable[[np.ndarray], np.ndarray] = invert) -> np.ndarray:
    return fitted.join([network(tile) for tile in fitted.tiles])


@pytest.mark.parametrize("mode", ["crop", *OWN_SIZE])
@pytest.mark.parametrize("shape", [(32, 48), (50, 40), (20, 90), (13, 17), (201, 150), (5, 3)])
def test_results_are_of_the_pictures_size_and_tiles_of_the_networks(
    mode: str, shape: tuple[int, int]
) -> None:
    fitted = fit_picture(noise(*shape, 3), mode, SIZE)
    result = through(fitted)
    assert result.dtype == np.uint8
    assert result.shape == fitted.shown.shape == (*(SIZE if mode == "crop" else shape), 3)
    assert len({tile.shape for tile in fitted.tiles}) == 1
    if mode == "native":
        assert all(side % NATIVE_STEP == 0 for side in fitted.tiles[0].shape[:2])
    else:
        assert fitted.tiles[0].shape == (*SIZE, 3)


@pytest.mark.parametrize("mode", ["crop", *OWN_SIZE])
def test_a_picture_of_the_networks_size_is_not_touched(mode: str) -> None:
    picture = noise(*SIZE, 3)
    fitted = fit_picture(picture, mode, SIZE)
    np.testing.assert_array_equal(fitted.tiles[0][: SIZE[0], : SIZE[1]], picture)
    np.testing.assert_array_equal(through(fitted), 255 - picture)


@pytest.mark.parametrize("shape", [(32, 49), (33, 48), (97, 131), (300, 48), (32, 400)])
@pytest.mark.parametrize("mode", ["tile", "native"])
def test_no_pixel_is_scaled_where_the_picture_stays_as_large_as_it_is(
    mode: str, shape: tuple[int, int]
) -> None:
    picture = noise(*shape, 3)
    fitted = fit_picture(picture, mode, SIZE)
    assert (len(fitted.tiles) > 1) == (mode == "tile")
    np.testing.assert_array_equal(through(fitted), 255 - picture)


@pytest.mark.parametrize("mode", OWN_SIZE)
@pytest.mark.parametrize("shape", [(90, 200), (200, 90), (20, 30), (64, 500)])
def test_smooth_pictures_survive_every_way(mode: str, shape: tuple[int, int]) -> None:
    picture = smooth(*shape)
    error = np.abs(through(fit_picture(picture, mode, SIZE)).astype(int) - (255 - picture))
    assert error.max() <= 12 and error.mean() <= 2


def test_crop_is_what_training_sees() -> None:
    picture = noise(90, 70, 3)
    expected = images.cover_resize(picture, SIZE)
    np.testing.assert_array_equal(fit_picture(picture, "crop", SIZE).tiles[0], expected)


def test_stretch_takes_the_whole_picture_whatever_its_shape() -> None:
    picture = noise(90, 70, 3)
    expected = Image.fromarray(picture).resize(SIZE[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fit_picture(picture, "stretch", SIZE).tiles[0], expected)


@pytest.mark.parametrize(
    ("shape", "content", "corner"),
    [((64, 48), (32, 24), (0, 12)), ((48, 144), (16, 48), (8, 0)), ((8, 12), (32, 48), (0, 0))],
)
def test_pad_keeps_the_shape_and_fills_up_by_reflection(
    shape: tuple[int, int], content: tuple[int, int], corner: tuple[int, int]
) -> None:
    picture = noise(*shape, 3)
    small = np.asarray(Image.fromarray(picture).resize(content[::-1], Image.Resampling.BILINEAR))
    [tile] = fit_picture(picture, "pad", SIZE).tiles
    (top, left), (height, width) = corner, content
    np.testing.assert_array_equal(tile[top : top + height, left : left + width], small)
    for i in range(1, left + 1):
        np.testing.assert_array_equal(tile[:, left - i], small[:, i])
        np.testing.assert_array_equal(tile[:, left + width - 1 + i], small[:, width - 1 - i])
    for i in range(1, top + 1):
        np.testing.assert_array_equal(tile[top - i], small[i])
        np.testing.assert_array_equal(tile[top + height - 1 + i], small[height - 1 - i])


def test_tiles_overlap_and_fade_into_each_other() -> None:
    picture = np.full((32, 48 + 36, 3), 100, np.uint8)
    fitted = fit_picture(picture, "tile", SIZE)
    assert list(fitted.corners) == [(0, 0), (0, 36)]
    dark, bright = (np.full((*SIZE, 3), value, np.uint8) for value in (50, 200))
    joined = fitted.join([dark, bright])
    assert (joined == joined[:1, :, :1]).all()  # alike in all rows and channels
    row = joined[0, :, 0].astype(int)
    assert (row[:36] == 50).all() and (row[48:] == 200).all()
    steps = np.diff(row[35:49])
    assert (steps > 0).all() and steps.max() <= 25
    assert row[41] + row[42] == 250  # half of each in the middle


@pytest.mark.parametrize("shape", [(33, 60), (100, 333), (31, 1000)])
def test_neighbouring_tiles_share_pixels_and_leave_none_out(shape: tuple[int, int]) -> None:
    fitted = fit_picture(noise(*shape, 3), "tile", (32, 32))
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in fitted.corners})
        assert starts[0] == 0 and starts[-1] + 32 == fitted.canvas[axis]
        assert all(0 < right - left <= 28 for left, right in itertools.pairwise(starts))


@pytest.mark.parametrize("mode", ["crop", *OWN_SIZE])
def test_heat_maps_lie_over_the_picture(mode: str) -> None:
    """A bright spot in the picture is the bright spot of the heat map."""
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[30:42, 96:112] = 255
    fitted = fit_picture(picture, mode, SIZE)
    heatmap = fitted.join_heatmaps([brightness(tile) for tile in fitted.tiles])
    assert heatmap.dtype == np.float32 and heatmap.min() == pytest.approx(300)
    height, width = heatmap.shape
    shown = fitted.shown[..., 0].astype(float)
    for now, of_picture in zip(_centre(heatmap - heatmap.min()), _centre(shown), strict=True):
        assert now == pytest.approx(of_picture, abs=0.03)
    if mode in ("tile", "native"):
        assert (height, width) == (30, 40)
        np.testing.assert_allclose(heatmap, brightness(picture), atol=1e-3)


def _centre(weights: np.ndarray) -> tuple[float, float]:
    """The centre of mass, as fractions of the height and width."""
    y, x = ((np.arange(side) + 0.5) / side for side in weights.shape)
    return float(y @ weights.sum(1) / weights.sum()), float(x @ weights.sum(0) / weights.sum())


def test_transparency_goes_where_the_picture_goes() -> None:
    alpha = noise(90, 70)
    for mode in OWN_SIZE:
        np.testing.assert_array_equal(fit_alpha(alpha, mode, SIZE), alpha)
    cropped = fit_picture(alpha[..., None].repeat(3, -1), "crop", SIZE).tiles[0][..., 0]
    np.testing.assert_array_equal(fit_alpha(alpha, "crop", SIZE), cropped)


def test_pictures_that_are_too_large_are_refused_with_another_way() -> None:
    white = np.zeros((1, 1, 3), np.uint8)
    huge = np.broadcast_to(white, (10_000, 10_000, 3))
    with pytest.raises(InputError, match=r"10000×10000 px are too many .* choose the fit tile"):
        fit_picture(huge, "native", SIZE)
    thin = np.broadcast_to(white, (1, 10**6, 3))
    with pytest.raises(InputError, match=r"1000000×1 px make .* choose the fit stretch"):
        fit_picture(thin, "tile", SIZE)
    assert fit_picture(thin, "stretch", SIZE).tiles[0].shape == (*SIZE, 3)


def test_a_picture_of_4k_is_not_too_large_for_native() -> None:
    picture = np.broadcast_to(np.uint8(7), (2160, 3840, 3))
    assert fit_picture(picture, "native", SIZE).tiles[0].shape == (2176, 3840, 3)


def test_the_tile_that_pads_keeps_its_shape_within_a_heat_maps_value() -> None:
    for shape in ((100, 33), (33, 100), (1, 500), (37, 41)):
        _, _, height, width = fit_picture(noise(*shape, 3), "pad", SIZE).content
        scale = min(Fraction(SIZE[0], shape[0]), Fraction(SIZE[1], shape[1]))
        assert abs(height - shape[0] * scale) < 4 and abs(width - shape[1] * scale) < 4


def test_modes_that_there_are_not() -> None:
    with pytest.raises(InputError, match="no fit 'zoom': choose one of crop, "):
        check_mode("zoom", any_size=True)
    with pytest.raises(InputError, match=r"fully connected layer .* choose tile, pad"):
        check_mode("native", any_size=False)
    check_mode("native", any_size=True)
    check_mode("tile", any_size=False)
