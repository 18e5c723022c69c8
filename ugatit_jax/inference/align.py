"""Faces in pictures of any framing: cut out as the training set frames them, and pasted back.

A network that was trained on faces knows them in one framing. Here each face of a picture becomes a
tile of that framing, and the translated tiles fade into the picture around them.
"""

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import Domain
from ugatit_jax.data.images import cover_resize
from ugatit_jax.faces.face import Detector
from ugatit_jax.faces.framing import Framing, Square, cut, measure_framing, paste
from ugatit_jax.faces.kinds import KINDS, open_detector
from ugatit_jax.inference.fit import HEATMAP_SCALE, Fitted, Size

_SAMPLE = 64  # pictures that a framing is measured from
_LEAST = 256  # px: detectors miss faces in smaller pictures
_FACES = 0.3  # of them, in which there has to be a face


@dataclass(frozen=True)
class AlignedFaces(Fitted):
    """A picture whose faces are translated, and nothing else. squares: where they are."""

    squares: Sequence[Square] = ()

    def join(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """Paste translated faces, uint8 [S, S, 3] each, into the picture: uint8 [h, w, 3]."""
        picture = self.shown
        for square, tile in zip(self.squares, tiles, strict=True):
            picture = paste(picture, square, tile)
        return picture

    def join_heatmaps(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """Lay heat maps, float32 [S/s, S/s] each, over the picture: [h', w'], a quarter of it.

        Where there is no face it is their smallest value.
        """
        height, width = (-(-side // HEATMAP_SCALE) for side in self.shown.shape[:2])
        least = min(float(tile.min()) for tile in tiles)
        canvas = Image.fromarray(np.full((height, width), least, np.float32))
        for square, tile in zip(self.squares, tiles, strict=True):
            side = max(1, round(square.side / HEATMAP_SCALE))
            corner = round(square.left / HEATMAP_SCALE), round(square.top / HEATMAP_SCALE)
            heat = Image.fromarray(np.asarray(tile, np.float32))
            canvas.paste(heat.resize((side, side), Image.Resampling.BILINEAR), corner)
        return np.array(canvas)


class Aligner:
    """Finds the faces of pictures, and cuts them out as a set of pictures frames its own.

    kind: of the faces, 'photo' or 'anime'. framing: that of the set.
    """

    def __init__(self, kind: str, detect: Detector, framing: Framing) -> None:
        self.kind, self.framing = kind, framing
        self._detect, self._one_at_a_time = detect, threading.Lock()

    @classmethod
    def like(cls, pictures: Domain, image_size: Size) -> "Aligner":
        """Measure the framing of pictures that are trained on, by the detector that finds most.

        Raises `InputError` where no detector is installed, or finds faces in few of them, and for a
        network whose pictures are not square.
        """
        if image_size[0] != image_size[1]:
            raise InputError("--align=face is for networks of square pictures: say --fit instead")
        count = min(_SAMPLE, len(pictures))
        chosen = [round(i) for i in np.linspace(0, len(pictures) - 1, count)]
        side = max(image_size[0], _LEAST)
        shown = [cover_resize(pictures.load(i), (side, side)) for i in chosen]
        best, missing = None, []
        for kind in KINDS:
            try:
                detect = open_detector(kind)
            except InputError as error:
                missing.append(str(error))
                continue
            bar = tqdm(shown, f"Framing of {kind} faces", disable=None)
            found = [(faces[0], side) for faces in map(detect, bar) if faces]
            if best is None or len(found) > len(best[2]):
                best = kind, detect, found
        if best is None:
            raise InputError(missing[0])
        kind, detect, found = best
        if len(found) < max(1, _FACES * count):
            also = f" ({missing[0]})" if missing else ""
            raise InputError(
                f"there are faces in {len(found)} of {count} pictures that this was trained on, "
                f"too few to align others by{also}: say --fit alone"
            )
        return cls(kind, detect, measure_framing(found))

    def describe(self) -> str:
        """What tells this alignment from others, for a record."""
        numbers = " ".join(f"{x:.2f}" for x in dataclasses.astuple(self.framing))
        return f"faces {self.kind} {numbers}"

    def __call__(self, picture: np.ndarray, size: int) -> AlignedFaces | None:
        """Cut out the faces of a picture, uint8 [h, w, 3], at `size` px; None: it has none.

        Small ones are cut out first, so that large ones, in front of them, are pasted last.
        """
        with self._one_at_a_time:
            faces = sorted(self._detect(picture), key=lambda face: face.side)
        if not faces:
            return None
        squares = [self.framing.around(face) for face in faces]
        tiles = [cut(picture, square, size) for square in squares]
        height, width = picture.shape[:2]
        nothing = [(0, 0)] * len(tiles)
        whole = (0, 0, height, width)
        return AlignedFaces(tiles, picture, (height, width), nothing, whole, squares=squares)
