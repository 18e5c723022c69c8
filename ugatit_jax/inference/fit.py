"""How a picture of any size is brought to the network, and its results back.

crop     scaled to cover the network's size, the middle cut out, as in training; results have the
         network's size
stretch  scaled to the network's size whatever its shape
pad      scaled to fit inside the network's size, the rest filled by reflection
tile     as large as it is, in overlapping tiles of the network's size that fade into each other; a
         picture smaller than one is scaled up. Attention and instance statistics are each tile's
         own, so what is larger than a tile is translated without being seen as a whole.
native   as large as it is, in one piece; for light generators

But for crop, results have the picture's own size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.inference.options import FITS

HEATMAP_SCALE = 4  # px of the picture per side of a heat map's value: the encoder halves it twice
NATIVE_STEP = 64  # px: sizes are rounded up to multiples of it, as every size is compiled
NATIVE_LIMIT = 2**23  # px, a 4K picture; a network of width 64 takes about 1 kB for each
TILE_LIMIT = 2**27  # px of the picture that is cut, after scaling up

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Fitted:
    """A picture in the form in which a network takes it.

    tiles: uint8 [H, W, 3] each, all of one size; often a single one. shown: the picture that the
    results lie over, uint8 [h, w, 3]. The rest says where the tiles lie on a canvas, and where on
    that the picture, in px. number: what its style is drawn by, 0 or more; None: its place among
    those that are translated.
    """

    tiles: Sequence[np.ndarray]
    shown: np.ndarray
    canvas: Size
    corners: Sequence[tuple[int, int]]  # top and left of each tile
    content: tuple[int, int, int, int]  # top, left, height, width
    number: int | None = None

    def join(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """Put translated tiles together: uint8 [H, W, 3] each to uint8 [h, w, 3], as `shown`."""
        height, width = self.shown.shape[:2]
        canvas = tiles[0] if len(tiles) == 1 else np.rint(self._blend(tiles, 1)).astype(np.uint8)
        top, left, content_height, content_width = self.content
        whole = canvas[top : top + content_height, left : left + content_width]
        return _resize(whole, (height, width), Image.Resampling.BICUBIC)

    def join_heatmaps(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """Put heat maps of tiles together: float32 [H/s, W/s] each to [h', w'] over the picture.

        s, how many px a side of a value is, divides 4.
        """
        scale = self.tiles[0].shape[0] // tiles[0].shape[0]
        canvas = tiles[0] if len(tiles) == 1 else self._blend(tiles, scale)
        top, left, height, width = self.content
        bottom, right = -(-(top + height) // scale), -(-(left + width) // scale)
        return canvas[top // scale : bottom, left // scale : right]

    def _blend(self, tiles: Sequence[np.ndarray], scale: int) -> np.ndarray:
        """The mean of the tiles, in which each counts less towards its edges."""
        height, width, *channels = tiles[0].shape
        window = np.outer(_fade(height), _fade(width)).reshape(
            height, width, *(1 for _ in channels)
        )
        size = self.canvas[0] // scale, self.canvas[1] // scale
        total = np.zeros((*size, *channels), np.float32)
        weights = np.zeros((*size, *(1 for _ in channels)), np.float32)
        for tile, (top, left) in zip(tiles, self.corners, strict=True):
            y, x = top // scale, left // scale
            total[y : y + height, x : x + width] += window * tile
            weights[y : y + height, x : x + width] += window
        return total / weights


def check_mode(mode: str, any_size: bool) -> None:
    """Raise `InputError` for a mode that there is not, or not for networks of one size."""
    if mode not in FITS:
        raise InputError(f"no fit {mode!r}: choose one of {', '.join(FITS)}")
    if mode == "native" and not any_size:
        raise InputError(
            "a full generator cannot fit 'native': its gamma and beta come from a fully connected "
            "layer over a feature map of one size; choose tile, pad, stretch or crop"
        )


def fit_picture(picture: np.ndarray, mode: str, image_size: Size) -> Fitted:
    """Bring a picture, uint8 [h, w, 3], to a network of `image_size` (height, width).

    Raises `InputError` for a picture that is too large for the mode.
    """
    return _FITS[mode](picture, image_size)


def fit_alpha(alpha: np.ndarray, mode: str, image_size: Size) -> np.ndarray:
    """Bring a picture's transparency, uint8 [h, w], to where `fit_picture` shows the picture."""
    return images.cover_resize(alpha, image_size) if mode == "crop" else alpha


def _crop(picture: np.ndarray, image_size: Size) -> Fitted:
    cut = images.cover_resize(picture, image_size)
    return Fitted([cut], cut, image_size, [(0, 0)], (0, 0, *image_size))


def _stretch(picture: np.ndarray, image_size: Size) -> Fitted:
    tile = _resize(picture, image_size, Image.Resampling.BILINEAR)
    return Fitted([tile], picture, image_size, [(0, 0)], (0, 0, *image_size))


def _pad(picture: np.ndarray, image_size: Size) -> Fitted:
    scale = min(side / now for side, now in zip(image_size, picture.shape[:2], strict=True))
    # Whole values of the heat map: the way back undoes the little that this distorts.
    height, width = (
        max(1, round(now * scale / HEATMAP_SCALE)) * HEATMAP_SCALE for now in picture.shape[:2]
    )
    top, left = (
        (side - now) // (2 * HEATMAP_SCALE) * HEATMAP_SCALE
        for side, now in zip(image_size, (height, width), strict=True)
    )
    small = _resize(picture, (height, width), Image.Resampling.BILINEAR)
    tile = _reflect(small, image_size, (top, left))
    return Fitted([tile], picture, image_size, [(0, 0)], (top, left, height, width))


def _tile(picture: np.ndarray, image_size: Size) -> Fitted:
    shape = picture.shape[:2]
    scale = max(1.0, *(side / now for side, now in zip(image_size, shape, strict=True)))
    height, width = (
        max(side, round(now * scale)) for side, now in zip(image_size, shape, strict=True)
    )
    if height * width > TILE_LIMIT:
        raise InputError(
            f"{shape[1]}×{shape[0]} px make {width}×{height} px to cut into tiles, and "
            f"{TILE_LIMIT / 1e6:.0f} million are the most: scale it down, or choose the fit stretch"
        )
    canvas = _reflect(
        _resize(picture, (height, width), Image.Resampling.BICUBIC),
        _round_up((height, width), HEATMAP_SCALE),
        (0, 0),
    )
    rows, columns = (
        _starts(whole, side) for whole, side in zip(canvas.shape[:2], image_size, strict=True)
    )
    corners = [(top, left) for top in rows for left in columns]
    tiles = [canvas[top:, left:][: image_size[0], : image_size[1]] for top, left in corners]
    return Fitted(
        tiles, picture, (canvas.shape[0], canvas.shape[1]), corners, (0, 0, height, width)
    )


def _native(picture: np.ndarray, image_size: Size) -> Fitted:
    height, width = picture.shape[:2]
    canvas = _round_up((height, width), NATIVE_STEP)
    if canvas[0] * canvas[1] > NATIVE_LIMIT:
        raise InputError(
            f"{width}×{height} px are too many to translate in one piece, where "
            f"{NATIVE_LIMIT / 1e6:.1f} million are the most: choose the fit tile"
        )
    tile = _reflect(picture, canvas, (0, 0))
    return Fitted([tile], picture, canvas, [(0, 0)], (0, 0, height, width))


_FITS = {"crop": _crop, "stretch": _stretch, "pad": _pad, "tile": _tile, "native": _native}


def _resize(picture: np.ndarray, size: Size, filter: Image.Resampling) -> np.ndarray:
    if picture.shape[:2] == size:
        return picture
    return np.array(Image.fromarray(picture).resize(size[::-1], filter))


def _reflect(picture: np.ndarray, size: Size, corner: tuple[int, int]) -> np.ndarray:
    """Put a picture on a canvas at `corner` (top, left), and fill the rest with its reflection."""
    if picture.shape[:2] == size:
        return picture
    (height, width), (top, left) = picture.shape[:2], corner
    around = (top, size[0] - top - height), (left, size[1] - left - width), (0, 0)
    return np.pad(picture, around, "reflect")


def _round_up(size: Size, step: int) -> Size:
    height, width = (-(-side // step) * step for side in size)
    return height, width


def _starts(whole: int, side: int) -> list[int]:
    """Where tiles begin, spread evenly; neighbours share about a quarter of a tile or more."""
    count = -(-(whole - side) // (side - side // 4)) + 1
    last = (whole - side) // HEATMAP_SCALE
    return [HEATMAP_SCALE * int(start) for start in np.rint(np.linspace(0, last, count))]


def _fade(side: int) -> np.ndarray:
    """A tile's weights along a side, float32 [side]: 1, and to 0 over a quarter at both ends."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    return np.sin(np.pi / 2 * np.minimum(1, distance / (side / 4))).astype(np.float32) ** 2
