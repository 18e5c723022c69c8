"""What is measured of a single picture: a few hundred bytes that its defects can be told from."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image, ImageFilter

HASH_SIDE = 16  # the perceptual hash has its square in bits
GRID = 8  # cells per side: where in a picture there is detail
MEAN = 64  # px per side of a domain's mean picture
PLACES = 128  # px per side of what is looked through for marks at a constant place

_LONGEST = 1024  # px: larger pictures are looked at in this size
_GREY = 10  # levels between the channels: what JPEG adds to a picture without colours
_LINE = 16  # levels around a border's colour: what JPEG adds there
_THINNEST, _WIDEST = 0.015, 0.45  # of the side: a border
_EDGE = 0.6  # of a line's pixels have another colour where a border ends: its edge is straight
_STRONGEST = 24  # levels: what one picture may add to the search for marks


@dataclass(frozen=True)
class Measures:
    """What is known of a picture.

    digest: of its pixels. bits: uint64 [4], its perceptual hash. chroma: how far the channels of
    its more colourful pixels lie apart, levels. detail: power of the finest details by that of the
    next coarser ones, at the size that is trained at. borders: shares of the sides (top, bottom,
    left, right) that borders of one colour take. colours: float32 [6], means and deviations of luma
    and of both differences of colours. framing: float32 [65], where there is detail, and the shape.
    """

    height: int
    width: int
    digest: bytes
    bits: np.ndarray
    chroma: float
    detail: float
    borders: tuple[float, float, float, float]
    plain: bool
    colours: np.ndarray
    framing: np.ndarray

    @property
    def has_border(self) -> bool:
        """Tell whether there is a border on any side."""
        return any(self.borders)


class Summand(NamedTuple):
    """What a picture adds to sums over its domain.

    structure: int8 [128, 128], what is fine in it. picture: uint8 [64, 64, 3], all of it.
    """

    structure: np.ndarray
    picture: np.ndarray


def measure(picture: np.ndarray, size: int) -> tuple[Measures, Summand]:
    """Measure a picture, uint8 [h, w, 3], that is trained on at `size` px."""
    image = Image.fromarray(picture)
    small = image
    if max(image.size) > _LONGEST:
        small = image.copy()
        small.thumbnail((_LONGEST, _LONGEST), Image.Resampling.BOX)
    grey = small.convert("L")
    borders, plain = _borders(np.asarray(small))
    hashed = imagehash.phash(small, hash_size=HASH_SIDE).hash
    measures = Measures(
        height=image.height,
        width=image.width,
        digest=hashlib.sha256(f"{image.size}".encode() + picture.tobytes()).digest()[:16],
        bits=np.packbits(hashed.ravel()).view(np.uint64),
        chroma=_chroma(np.asarray(small)),
        detail=_detail(image, size),
        borders=borders,
        plain=plain,
        colours=_colours(np.asarray(small)),
        framing=_framing(grey),
    )
    mean = small.resize((MEAN, MEAN), Image.Resampling.BOX)
    return measures, Summand(_structure(grey), np.asarray(mean))


def _chroma(picture: np.ndarray) -> float:
    """How far the channels lie apart in all but the 2 % most colourful pixels."""
    apart = picture.max(-1) - picture.min(-1)
    return float(np.percentile(apart, 98))


def is_grey(measures: Measures) -> bool:
    """Tell whether a picture has no colours."""
    return measures.chroma <= _GREY


def _detail(image: Image.Image, size: int) -> float:
    """The power of details under 3 px by that of those of 4 to 8 px.

    Of natural pictures and of drawings alike an octave has about the power of the next one. A
    picture that was enlarged twice or more has next to none in the finest, but for what JPEG adds.
    """
    scale = size / min(image.size)
    if scale < 1:
        width, height = (max(1, round(scale * side)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    side = min(*image.size, 256)
    left, top = ((whole - side) // 2 for whole in image.size)
    grey = image.convert("L").crop((left, top, left + side, top + side))
    values = np.asarray(grey, np.float32)
    window = np.hanning(side).astype(np.float32)
    values = (values - values.mean()) * window * window[:, None]
    power = np.abs(np.fft.rfft2(values)) ** 2
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    radius = 2 * np.hypot(rows, columns)  # 1: alternating pixels
    finest = power[(radius > 0.7) & (radius <= 1)].sum()
    coarser = power[(radius > 0.25) & (radius <= 0.5)].sum()
    # A picture of one colour has neither.
    return float(finest / coarser) if coarser > 1e-6 * side**4 else 1.0


def _borders(picture: np.ndarray) -> tuple[tuple[float, float, float, float], bool]:
    """The shares of the sides, from top, bottom, left and right, that borders take.

    A border is of one colour and ends in a straight edge, opposite to another one. A subject on a
    plain ground has none: where the ground ends, little of the line is the subject's. Also tells
    whether there is one of both.
    """
    turned = picture.swapaxes(0, 1)
    sides = [picture, picture[::-1], turned, turned[::-1]]
    shares, straight = zip(*map(_border, sides), strict=True)
    found: list[float] = []
    for i in (0, 2):
        found += shares[i : i + 2] if all(straight[i : i + 2]) else (0.0, 0.0)
    top, bottom, left, right = found
    return (top, bottom, left, right), bool(min(shares[:2]) or min(shares[2:]))


def _border(picture: np.ndarray) -> tuple[float, bool]:
    """The share of the height above that is of one colour, and whether it ends in a straight edge.

    The share is 0 where that is too little, or all of the picture.
    """
    height = len(picture)
    lines = picture[: int(_WIDEST * height) + 2].astype(np.int16)
    colour = np.median(lines[0], axis=0)
    others = (np.abs(lines - colour).max(-1) > _LINE).mean(-1)
    inside = np.flatnonzero(others > 0.02)
    first = int(inside[0]) if len(inside) else len(lines)
    if not _THINNEST * height <= first < len(lines) - 2:
        return 0.0, False
    return first / height, bool(others[first : first + 2].max() >= _EDGE)


def _colours(picture: np.ndarray) -> np.ndarray:
    """Means and deviations of luma, R − G and (R + G) / 2 − B, in levels."""
    red, green, blue = picture.reshape(-1, 3).astype(np.float32).T
    planes = [0.299 * red + 0.587 * green + 0.114 * blue, red - green, (red + green) / 2 - blue]
    return np.array([f(plane) for f in (np.mean, np.std) for plane in planes], np.float32)


def _framing(grey: Image.Image) -> np.ndarray:
    """Where there is detail: each cell's share of it, and the logarithm of the shape.

    Neither what the colours are nor how bright or how sharp the picture is takes part.
    """
    values = np.asarray(grey.resize((8 * GRID, 8 * GRID), Image.Resampling.BOX), np.float32)
    rows, columns = np.gradient(values)
    cells = np.hypot(rows, columns).reshape(GRID, 8, GRID, 8).mean((1, 3)).ravel()
    shape = np.log(grey.height / grey.width)
    return np.append(np.sqrt(cells / max(cells.sum(), 1e-6)), shape).astype(np.float32)


def _structure(grey: Image.Image) -> np.ndarray:
    """What is finer than 5 px of 128: lines and letters, but no shading. int8 [128, 128]."""
    small = grey.resize((PLACES, PLACES), Image.Resampling.BOX)
    smooth = small.filter(ImageFilter.BoxBlur(2))
    fine = np.asarray(small, np.int16) - np.asarray(smooth, np.int16)
    return fine.clip(-_STRONGEST, _STRONGEST).astype(np.int8)
