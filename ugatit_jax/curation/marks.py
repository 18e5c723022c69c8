"""What is at the same place in all pictures of a domain: watermarks, logos, captions.

Of the fine structure of pictures, what differs from one to the next cancels out in the mean, and
what is the same remains. It is told from chance, and from faces that look at us from one place, by
its size over its deviation: Gaussian noise with a mean of 0 has a ratio of 1/√N.
"""

from dataclasses import dataclass

import numpy as np

from ugatit_jax.curation.measures import PLACES

FEWEST = 30  # pictures, below which chance does what a mark does
# Faces of one framing reach 0.6, subjects on a white ground 1.3, letters of an opacity of 1/4 more
# than 2.
_RATIO = 1.5
_LEVELS = 2  # that a mark differs from its surroundings
_PIXELS = 8  # of 128 × 128


@dataclass(frozen=True)
class Mark:
    """What is at the same place in most of `count` pictures.

    box: the shares of the sides (top, bottom, left, right) that it lies between. picture: uint8
    [128, 128, 3], the mean of what is fine in the pictures, and the mark in red.
    """

    count: int
    box: tuple[float, float, float, float]
    picture: np.ndarray


class Marks:
    """Looks for marks in any number of pictures, and keeps none of them."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = np.zeros((PLACES, PLACES), np.int64)
        self._squares = np.zeros((PLACES, PLACES), np.int64)

    def add(self, structure: np.ndarray) -> None:
        """Take the fine structure of a picture, int8 [128, 128]."""
        values = structure.astype(np.int64)
        self._count += 1
        self._sum += values
        self._squares += values**2

    def find(self) -> Mark | None:
        """Return what is the same in most of the pictures, or None."""
        if self._count < FEWEST:
            return None
        mean = self._sum / self._count
        # Half a level: pictures are rounded.
        deviation = np.sqrt(np.maximum(self._squares / self._count - mean**2, 0)) + 0.5
        mark = (np.abs(mean) >= _LEVELS) & (np.abs(mean) >= _RATIO * deviation)
        if mark.sum() < _PIXELS:
            return None
        rows, columns = (np.flatnonzero(mark.any(axis)) for axis in (1, 0))
        top, bottom, left, right = (
            float(x) / PLACES for x in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
        )
        shown = np.repeat((128 + 4 * mean).clip(0, 255)[..., None], 3, axis=-1)
        shown[mark] = (220, 40, 40)
        return Mark(self._count, (top, bottom, left, right), shown.astype(np.uint8))
