"""Cartoons without their clear edges, for a discriminator to tell from those with them.

Chen et al., CVPR 2018, section 3.2.1: find edges by Canny's method, widen them, and smooth the
picture there with a Gaussian. The paper gives no numbers; these are those usual with OpenCV.
"""

import numpy as np
from PIL import Image

# Not as modules of skimage: those are imported on first use, and here threads are the first.
from skimage.feature import canny
from skimage.filters import gaussian
from skimage.morphology import dilation

SIDE = 5  # px: of the square that edges are widened by, and of the Gaussian
DEVIATION = 1.1  # px: what OpenCV takes for a Gaussian of that side
LOW, HIGH = 100 / 255, 200 / 255  # of Sobel's gradient, of pictures in [0, 1]


def smooth_edges(picture: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 [h, w, 3], as it was but for its edges, which are smoothed."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float32) / 255
    edges = canny(grey, low_threshold=LOW, high_threshold=HIGH, mode="nearest")
    near = dilation(edges, np.ones((SIDE, SIDE), bool))
    smooth = gaussian(
        picture.astype(np.float32),
        DEVIATION,
        mode="mirror",
        truncate=SIDE // 2 / DEVIATION,
        channel_axis=-1,
    )
    return np.where(near[..., None], np.rint(smooth).astype(np.uint8), picture)
