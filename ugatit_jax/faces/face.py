"""What a detector says of a face, whatever it is a face in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True)
class Face:
    """An upright face: its eyes are 0.3 of `side` below the top, its chin is at the bottom.

    x, y: its centre, px. side: of the square around it, px. score: how sure the detector is, to 1.
    """

    x: float
    y: float
    side: float
    score: float


# Faces in a picture, uint8 [h, w, 3], the surest first.
Detector: TypeAlias = Callable[[np.ndarray], list[Face]]


def without_overlaps(faces: Sequence[Face]) -> list[Face]:
    """Keep the surest of faces of which one lies in another, surest first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_shared(face, other) < 0.5 for other in kept):
            kept.append(face)
    return kept


def _shared(one: Face, other: Face) -> float:
    """The share of the smaller square that lies in the larger one."""
    reach = (one.side + other.side) / 2
    smaller = min(one.side, other.side)
    width = min(smaller, reach - abs(one.x - other.x))
    height = min(smaller, reach - abs(one.y - other.y))
    return max(0.0, width) * max(0.0, height) / smaller**2
