"""Pictures for people: where the networks look, and sample grids of a training run."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.images import encode, to_uint8
from ugatit_jax.data.storage import AnyPath, write_atomically

DIRECTION_TITLES = {"a2b": "A to B", "b2a": "B to A"}

_GAP = 4  # px between the tiles of a grid
_SMALLEST_TILE = 128  # px: narrower tiles leave no room for their titles
_SMALLEST_PANEL, _LARGEST_PANEL = 256, 512  # px, the longer side of what a figure shows
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def attention_overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Where the network looks: the heat map in colour over the greyed picture.

    image: uint8 [h, w, 3]. heatmap: float of any size [h', w'] and any range; its own smallest
    value becomes black, its largest bright yellow, and a constant map is black all over.
    Returns uint8 [h, w, 3].
    """
    try:
        import matplotlib  # not above: whoever only translates need not have it
    except ImportError:
        said = 'showing attention needs matplotlib: pip install "ugatit_jax[evaluate]"'
        raise InputError(said) from None

    height, width = image.shape[:2]
    heat = np.asarray(heatmap, np.float32)
    low, high = heat.min(), heat.max()
    heat = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    heat = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    colour = matplotlib.colormaps["inferno"](heat)[..., :3].astype(np.float32)
    grey = (image.astype(np.float32) / 255 @ _LUMA)[..., None]
    return np.rint(255 * (0.4 * grey + 0.6 * colour)).astype(np.uint8)


def attention_figure(
    picture: np.ndarray,
    heatmap: np.ndarray,
    translation: np.ndarray,
    judged: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Where the networks look, in one picture that explains itself.

    From left to right: the picture, the generator's heat map over it, the translation, and over
    that the heat maps in `judged`, of the discriminators, by title. Below each overlay is a legend:
    the smallest and the largest number of its map, in the map's own unit, and the colours between
    them as they are over mid-grey. picture and translation: uint8 [h, w, 3] of one size; small ones
    are shown enlarged, large ones reduced. Heat maps: float [h', w'] of any size and range. Returns
    uint8 [H, W, 3].
    """
    picture, translation = _to_panel(picture), _to_panel(translation)
    size = max(13, picture.shape[1] // 20)
    panels = [
        ("input", picture, None),
        ("generator", picture, heatmap),
        ("translation", translation, None),
        *((title, translation, of_judge) for title, of_judge in judged.items()),
    ]
    columns = [_figure_column(*panel, size) for panel in panels]
    spaced = [np.pad(x, ((0, 0), (0, size), (0, 0)), constant_values=255) for x in columns]
    figure = np.concatenate(spaced, axis=1)
    return np.pad(figure, ((0, 0), (size, 0), (0, 0)), constant_values=255)


def _figure_column(
    title: str, picture: np.ndarray, heatmap: np.ndarray | None, size: int
) -> np.ndarray:
    """A title, the picture or overlay, and the legend or nothing; text of `size` px."""
    width = picture.shape[1]
    below = np.full((3 * size, width, 3), 255, np.uint8)
    if heatmap is not None:
        picture, below = attention_overlay(picture, heatmap), _legend(heatmap, width, size)
    return np.concatenate([_text_strip(width, [(0, title)], size), picture, below])


def _to_panel(picture: np.ndarray) -> np.ndarray:
    """Bring the longer side of a picture between 256 and 512 px, small ones by whole numbers."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest > _LARGEST_PANEL:
        image = Image.fromarray(picture)
        image.thumbnail((_LARGEST_PANEL, _LARGEST_PANEL), Image.Resampling.LANCZOS)
        return np.asarray(image)
    scale = max(1, -(-_SMALLEST_PANEL // longest))
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _legend(heatmap: np.ndarray, width: int, size: int) -> np.ndarray:
    """A colour bar over its smallest and largest number, uint8 [3 * size, width, 3]."""
    bar = attention_overlay(
        np.full((size, width, 3), 128, np.uint8), np.linspace(0, 1, width, dtype=np.float32)[None]
    )
    bar = np.pad(bar, ((size // 2, 0), (0, 0), (0, 0)), constant_values=255)
    numbers = Image.new("RGB", (width, 3 * size - len(bar)), "white")
    draw, font = ImageDraw.Draw(numbers), ImageFont.load_default(size=size)
    for x, value, anchor in ((0, heatmap.min(), "lm"), (width, heatmap.max(), "rm")):
        draw.text((x, numbers.height // 2), f"{value:#.3g}", fill="black", font=font, anchor=anchor)
    return np.concatenate([bar, np.asarray(numbers)])


Column = tuple[str, np.ndarray | tuple[np.ndarray, np.ndarray]]


def sample_grid(sections: Mapping[str, Sequence[Column]], step: int) -> np.ndarray:
    """One labelled picture of what a training has learned: a row per input, directions stacked.

    sections: by direction ("a2b", "b2a"), columns of a title and pictures [N, h, w, 3], float in
    [-1, 1] or uint8; or of pictures and the maps [N, h', w'] to lie over them. Returns uint8
    [H, W, 3].
    """
    parts = [_grid_section(DIRECTION_TITLES[name], part) for name, part in sections.items()]
    title = _text_strip(parts[0].shape[1], [(0, f"step {step:,}")], size=24)
    grid = np.concatenate([title, *parts])
    return np.pad(grid, ((12, 12), (12, 12), (0, 0)), constant_values=255)


def _grid_section(title: str, columns: Sequence[Column]) -> np.ndarray:
    """The rows of one direction under its titles, uint8 [H, W, 3]."""
    shown = [
        _overlays(_levels(what[0]), what[1]) if isinstance(what, tuple) else _levels(what)
        for _, what in columns
    ]
    tiles = np.stack(shown, axis=1)  # [N, columns, h, w, 3]
    scale = max(1, -(-_SMALLEST_TILE // min(tiles.shape[2:4])))
    tiles = tiles.repeat(scale, axis=2).repeat(scale, axis=3)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    rows, count, height, width, _ = tiles.shape
    body = tiles.swapaxes(1, 2).reshape(rows * height, count * width, 3)
    column_titles = [(i * width, text) for i, (text, _) in enumerate(columns)]
    return np.concatenate(
        [
            _text_strip(body.shape[1], [(0, title)], size=20),
            _text_strip(body.shape[1], column_titles, size=max(14, width // 12)),
            body,
        ]
    )


def tile(pictures: np.ndarray) -> np.ndarray:
    """Return pictures [N, h, w, 3], as they are, in one that is about as wide as high.

    White is where there are none. All are uint8.
    """
    count, height, width, _ = pictures.shape
    across = math.ceil(math.sqrt(count))
    rows = -(-count // across)
    tiles = np.full((rows * across, height, width, 3), 255, np.uint8)
    tiles[:count] = pictures
    tiles = tiles.reshape(rows, across, height, width, 3).swapaxes(1, 2)
    return tiles.reshape(rows * height, across * width, 3)


def _levels(pictures: np.ndarray) -> np.ndarray:
    return pictures if pictures.dtype == np.uint8 else to_uint8(pictures)


def _overlays(images: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    pairs = zip(images, np.asarray(heatmaps), strict=True)
    return np.stack([attention_overlay(image, heatmap) for image, heatmap in pairs])


def _text_strip(width: int, texts: Sequence[tuple[int, str]], size: int) -> np.ndarray:
    """A white strip, uint8 [2 * size, width, 3], with texts of `size` px at the given x."""
    strip = Image.new("RGB", (width, 2 * size), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=size)
    for x, text in texts:
        draw.text((x, size), text, fill="black", font=font, anchor="lm")
    return np.asarray(strip)


def save_png(path: AnyPath, image: np.ndarray) -> None:
    """Write a uint8 [h, w, 3] picture, all of it or nothing; its folders are made."""
    write_atomically(path, encode(image, "png"))
