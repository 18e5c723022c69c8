"""Squares around faces that are alike: cut out, and pasted back with a soft edge."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ugatit_jax.faces.face import Face

_FADE = 0.15  # of a square's side: over which it fades into what is around it


@dataclass(frozen=True)
class Square:
    """A square in a picture, or partly outside of it, px."""

    left: float
    top: float
    side: float

    def outside(self, picture: np.ndarray) -> float:
        """The share of it that lies outside of a picture [h, w, 3]."""
        height, width = picture.shape[:2]
        across = min(width, self.left + self.side) - max(0.0, self.left)
        down = min(height, self.top + self.side) - max(0.0, self.top)
        return 1 - max(0.0, across) * max(0.0, down) / self.side**2


@dataclass(frozen=True)
class Framing:
    """How much is seen around a face.

    zoom: the square's side by the face's. right, down: how far the square's centre lies from the
    face's, in sides of the face.
    """

    zoom: float = 1.8
    right: float = 0.0
    down: float = 0.0

    def around(self, face: Face) -> Square:
        """The square around a face."""
        side = self.zoom * face.side
        x, y = face.x + self.right * face.side, face.y + self.down * face.side
        return Square(x - side / 2, y - side / 2, side)


def measure_framing(found: Sequence[tuple[Face, int]]) -> Framing:
    """The usual framing of square pictures, by the face in each and the picture's side in px."""
    zooms = [size / face.side for face, size in found]
    rights = [(size / 2 - face.x) / face.side for face, size in found]
    downs = [(size / 2 - face.y) / face.side for face, size in found]
    return Framing(*(float(np.median(x)) for x in (zooms, rights, downs)))


def cut(picture: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Cut a square out of a picture, uint8 [h, w, 3], and scale it (Lanczos): [size, size, 3].

    What lies outside of the picture is mirrored.
    """
    height, width = picture.shape[:2]
    reach = 3 * max(1, math.ceil(square.side / size))  # px that Lanczos looks at around it
    first = [math.floor(x) - reach for x in (square.left, square.top)]
    last = [math.ceil(x + square.side) + reach for x in (square.left, square.top)]
    columns, rows = (
        _mirrored(np.arange(start, stop), whole)
        for start, stop, whole in zip(first, last, (width, height), strict=True)
    )
    part = Image.fromarray(np.ascontiguousarray(picture[rows][:, columns]))
    left, top = square.left - first[0], square.top - first[1]
    box = (left, top, left + square.side, top + square.side)
    return np.array(part.resize((size, size), Image.Resampling.LANCZOS, box))


def _mirrored(places: np.ndarray, whole: int) -> np.ndarray:
    """Places along a side, those outside of it mirrored into it."""
    around = places % (2 * whole)
    return np.where(around < whole, around, 2 * whole - 1 - around)


def paste(picture: np.ndarray, square: Square, patch: np.ndarray) -> np.ndarray:
    """Put a patch, uint8 [s, s, 3], into a square of a picture, uint8 [h, w, 3]; it fades out.

    Where the picture ends before the square does, the patch does not fade.
    """
    height, width = picture.shape[:2]
    left, top = max(0, math.ceil(square.left)), max(0, math.ceil(square.top))
    right = min(width, math.floor(square.left + square.side))
    bottom = min(height, math.floor(square.top + square.side))
    size = right - left, bottom - top
    scale = len(patch) / square.side
    first = scale * (left - square.left), scale * (top - square.top)
    last = scale * (right - square.left), scale * (bottom - square.top)
    ends = min(len(patch), last[0]), min(len(patch), last[1])  # by a rounding more
    image = Image.fromarray(patch).resize(size, Image.Resampling.BICUBIC, (*first, *ends))
    across = _fade(size[0], square.side, left == 0, right == width)
    down = _fade(size[1], square.side, top == 0, bottom == height)
    weight = np.minimum(down[:, None], across)[..., None]
    result = picture.copy()
    under = picture[top:bottom, left:right].astype(np.float32)
    mixed = weight * np.asarray(image, np.float32) + (1 - weight) * under
    result[top:bottom, left:right] = np.rint(mixed).astype(np.uint8)
    return result


def _fade(count: int, side: float, to_start: bool, to_end: bool) -> np.ndarray:
    """Weights along a side, float32 [count]: from 0 at both ends to 1, but not at a picture's."""
    places = np.arange(count) + 0.5
    start = np.full(count, np.inf) if to_start else places
    end = np.full(count, np.inf) if to_end else places[::-1]
    share = np.minimum(1, np.minimum(start, end) / (_FADE * side))
    return (share**2 * (3 - 2 * share)).astype(np.float32)
