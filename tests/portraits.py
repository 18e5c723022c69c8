"""Photographs with a face, of which all is free, and a detector that others wrote."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from skimage import data
from skimage.feature import Cascade

from ugatit_jax.faces.face import Detector, Face


def astronaut() -> np.ndarray:
    """Eileen Collins, NASA, public domain: uint8 [512, 512, 3]."""
    return np.asarray(data.astronaut())


def admiral() -> np.ndarray:
    """Grace Hopper, US Navy, public domain: uint8 [600, 512, 3]."""
    file = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.asarray(Image.open(file).convert("RGB"))


def local_binary_patterns() -> Detector:
    """The cascade of local binary patterns that scikit-image ships."""
    cascade = Cascade(data.lbp_frontal_face_cascade_filename())

    def detect(picture: np.ndarray) -> list[Face]:
        height, width = picture.shape[:2]
        least, most = (60, 60), (min(height, width),) * 2
        found = cascade.detect_multi_scale(picture, 1.2, 1.2, min_size=least, max_size=most)
        return [
            Face(x["c"] + x["width"] / 2, x["r"] + x["height"] / 2, x["width"] * 0.8, 1.0)
            for x in found
        ]

    return detect
