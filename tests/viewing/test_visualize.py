"""Overlays, figures and grids, read back as a reader of the picture would."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.viewing.visualize import (
    Column,
    attention_figure,
    attention_overlay,
    sample_grid,
    save_png,
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_without_matplotlib_what_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r'pip install "ugatit_jax\[evaluate\]"'):
        attention_overlay(noise(8, 8, 3), np.zeros((2, 2), np.float32))


def test_overlay_is_brightest_where_the_heat_is() -> None:
    heatmap = np.zeros((4, 8), np.float32)
    heatmap[1, 6] = 5.0
    overlay = attention_overlay(np.full((16, 32, 3), 100, np.uint8), heatmap)
    assert overlay.shape == (16, 32, 3) and overlay.dtype == np.uint8
    brightness = overlay.sum(axis=-1, dtype=int)
    y, x = np.unravel_index(brightness.argmax(), brightness.shape)
    assert 4 <= y < 8 and 24 <= x < 28
    assert brightness[12:, :16].max() < brightness[4:8, 24:28].min()


def test_overlay_ignores_scale_and_offset_of_the_heat_map() -> None:
    image, heatmap = noise(16, 16, 3), np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(
        attention_overlay(image, heatmap), attention_overlay(image, 4 * heatmap - 32)
    )


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_overlay_of_a_constant_heat_map_is_the_darkened_grey_picture(value: float) -> None:
    image = noise(8, 12, 3)
    overlay = attention_overlay(image, np.full((2, 3), value, np.float32))
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)
    # The darkest colour of the map is not quite black: up to 4 of 255.
    np.testing.assert_allclose(overlay, np.repeat(0.4 * grey[..., None], 3, axis=-1), atol=4)


def make_samples(count: int, height: int, width: int) -> dict[str, dict[str, np.ndarray]]:
    """By direction: pictures float32 [count, height, width, 3], and maps of a quarter the size."""
    rng = np.random.default_rng(1)
    heat = (count, height // 4, width // 4)
    return {
        direction: {
            **{
                name: rng.uniform(-1, 1, (count, height, width, 3)).astype(np.float32)
                for name in ("input", "translation", "cycle", "identity")
            },
            "attention": rng.normal(size=heat).astype(np.float32),
            "cycle_attention": rng.normal(size=heat).astype(np.float32),
        }
        for direction in ("a2b", "b2a")
    }


def columns_of(samples: dict[str, dict[str, np.ndarray]]) -> dict[str, list[Column]]:
    """What a grid of samples shows, column by column."""
    return {
        direction: [
            ("input", sample["input"]),
            ("attention", (sample["input"], sample["attention"])),
            ("translation", sample["translation"]),
            ("attention", (sample["translation"], sample["cycle_attention"])),
            ("cycle", sample["cycle"]),
            ("identity", sample["identity"]),
        ]
        for direction, sample in samples.items()
    }


def find(picture: np.ndarray, tile: np.ndarray) -> tuple[int, int]:
    """Where (y, x) `tile` is in `picture`, exactly once."""
    height, width = tile.shape[:2]
    corners = picture[: -height + 1, : -width + 1]
    found = [
        (int(y), int(x))
        for y, x in np.argwhere((corners == tile[0, 0]).all(axis=-1))
        if (picture[y : y + height, x : x + width] == tile).all()
    ]
    assert len(found) == 1
    return found[0]


HOT, COLD = np.array([252, 255, 164]), np.array([0, 0, 4])  # the ends of inferno, as published


def make_figure(size: tuple[int, int], **changed: np.ndarray) -> np.ndarray:
    """A figure of a white picture and a black translation, and of a map from 2 to 6.5."""
    shown = {
        "picture": np.full((*size, 3), 255, np.uint8),
        "heatmap": np.linspace(2, 6.5, 16, dtype=np.float32).reshape(4, 4),
        "translation": np.zeros((*size, 3), np.uint8),
        **changed,
    }
    judged = {"local discriminator": -shown["heatmap"], "global discriminator": np.eye(3)}
    return attention_figure(**shown, judged=judged)


def test_figure_has_each_heat_map_over_the_picture_that_it_is_of() -> None:
    picture, translation = noise(300, 280, 3), noise(300, 280, 3, seed=1)
    heatmap = np.random.default_rng(2).normal(size=(5, 5))
    figure = make_figure((300, 280), picture=picture, translation=translation, heatmap=heatmap)
    panels = [
        picture,
        attention_overlay(picture, heatmap),
        translation,
        attention_overlay(translation, -heatmap),
        attention_overlay(translation, np.eye(3)),
    ]
    rows, columns = zip(*(find(figure, panel) for panel in panels), strict=True)
    assert len(set(rows)) == 1 and all(np.diff(columns) > 280)


@pytest.mark.parametrize(
    ("size", "shown"), [((64, 48), (256, 192)), ((100, 40), (300, 120)), ((1024, 2048), (256, 512))]
)
def test_figure_brings_pictures_to_a_size_that_can_be_read(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    figure = make_figure(size, picture=np.full((*size, 3), (255, 0, 0), np.uint8))
    rows, columns = np.nonzero((figure == (255, 0, 0)).all(axis=-1))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == shown


def test_legend_runs_from_the_coldest_to_the_hottest_colour() -> None:
    height, width = 256, 256
    figure = make_figure((height, width)).astype(int)
    top, left = find(figure.astype(np.uint8), np.zeros((height, width, 3), np.uint8))
    left -= width + 13  # of the generator's overlay, one panel before the translation
    below = figure[top + height :, left : left + width]
    bar = below[(below[:, width // 2] != 255).any(axis=-1)][0]
    np.testing.assert_allclose(bar[0], 0.4 * 128 + 0.6 * COLD, atol=1)
    np.testing.assert_allclose(bar[-1], 0.4 * 128 + 0.6 * HOT, atol=1)
    assert (np.diff(bar.sum(axis=-1)) >= -1).all()  # inferno brightens all the way


@pytest.mark.parametrize(("low", "high"), [(3, 6.5), (2, 7)])
def test_legend_gives_the_ends_of_the_map(low: float, high: float) -> None:
    one = make_figure((256, 256))
    heatmap = np.linspace(low, high, 16, dtype=np.float32).reshape(4, 4)
    other = make_figure((256, 256), heatmap=heatmap)
    changed = (one != other)[-19:].any(axis=(0, 2))  # the lines of the numbers
    x = np.nonzero(changed[282:538])[0]  # of the second panel
    assert x.size > 0
    assert x.max() < 40 if low != 2 else x.min() > 216


@pytest.mark.parametrize(("size", "scale"), [((16, 32), 8), ((64, 64), 2), ((128, 160), 1)])
def test_grid_has_every_picture_in_its_row_and_column(size: tuple[int, int], scale: int) -> None:
    samples = make_samples(2, *size)
    grid = sample_grid(columns_of(samples), step=12_000)
    last_row = 0
    for direction in ("a2b", "b2a"):
        sample = {
            name: np.rint((value + 1) * 127.5).astype(np.uint8)
            for name, value in samples[direction].items()
            if "attention" not in name
        }
        for i in range(2):
            tiles = [
                sample["input"][i],
                attention_overlay(sample["input"][i], samples[direction]["attention"][i]),
                sample["translation"][i],
                attention_overlay(
                    sample["translation"][i], samples[direction]["cycle_attention"][i]
                ),
                sample["cycle"][i],
                sample["identity"][i],
            ]
            places = [find(grid, tile.repeat(scale, 0).repeat(scale, 1)) for tile in tiles]
            rows, columns = zip(*places, strict=True)
            assert len(set(rows)) == 1 and rows[0] > last_row
            assert all(np.diff(columns) > scale * size[1])
            last_row = rows[0]


def test_grid_shows_the_step() -> None:
    samples = columns_of(make_samples(1, 16, 16))
    one, other = sample_grid(samples, step=1), sample_grid(samples, step=2)
    rows, columns = np.nonzero((one != other).any(axis=-1))
    assert rows.size > 0 and rows.max() < 60 and columns.max() < 120


def test_save_png_makes_folders_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "picture.png"
    save_png(path, noise(5, 7, 3, seed=1))
    save_png(path, noise(5, 7, 3, seed=2))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), noise(5, 7, 3, seed=2))
    assert list(path.parent.iterdir()) == [path]
