"""Overlays, grids and galleries, read back as a reader of the picture or page would."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.visualize import (
    GalleryRow,
    attention_overlay,
    sample_grid,
    save_png,
    write_gallery,
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


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


@pytest.mark.parametrize(("size", "scale"), [((16, 32), 8), ((64, 64), 2), ((128, 160), 1)])
def test_grid_has_every_picture_in_its_row_and_column(size: tuple[int, int], scale: int) -> None:
    samples = make_samples(2, *size)
    grid = sample_grid(samples, step=12_000)
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
    samples = make_samples(1, 16, 16)
    one, other = sample_grid(samples, step=1), sample_grid(samples, step=2)
    rows, columns = np.nonzero((one != other).any(axis=-1))
    assert rows.size > 0 and rows.max() < 60 and columns.max() < 120


def test_save_png_makes_folders_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "picture.png"
    save_png(path, noise(5, 7, 3, seed=1))
    save_png(path, noise(5, 7, 3, seed=2))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), noise(5, 7, 3, seed=2))
    assert list(path.parent.iterdir()) == [path]


class Page(HTMLParser):
    """The images, the addresses and the text of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: dict[str, np.ndarray] = {}
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = {name: value or "" for name, value in attrs}
        if tag == "img":
            kind, data = attributes["src"].split(",")
            assert kind == "data:image/png;base64" and attributes["loading"] == "lazy"
            picture = Image.open(io.BytesIO(base64.b64decode(data)))
            assert picture.size == (int(attributes["width"]), int(attributes["height"]))
            self.images[attributes["alt"]] = np.asarray(picture)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())


def test_gallery_is_one_page_with_all_pictures_and_escaped_text(tmp_path: Path) -> None:
    rows = [
        GalleryRow("<b>&.jpg", {"input": noise(8, 12, 3), "translation": noise(8, 12, 3, seed=1)}),
        GalleryRow('two".jpg', {"input": noise(8, 12, 3, seed=2)}),
    ]
    path = tmp_path / "index.html"
    write_gallery(
        path,
        "Cats & dogs",
        {"A to B": rows, "B to A": []},
        summary=["Better <than> nothing."],
        table=[("score", "L1"), ("A to B", "0.125")],
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert set(page.images) == {"<b>&.jpg: input", "<b>&.jpg: translation", 'two".jpg: input'}
    for row in rows:
        for caption, picture in row.pictures.items():
            np.testing.assert_array_equal(page.images[f"{row.name}: {caption}"], picture)
    for text in ("Cats & dogs", "A to B", "B to A", "Better <than> nothing.", "L1", "0.125"):
        assert text in page.text
    assert not {"script", "link", "b", "than"} & set(page.tags)
