"""Noise, and how alike pictures are by another program."""

import numpy as np
import tensorflow as tf


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def ssim_by_tensorflow(x: np.ndarray, y: np.ndarray) -> float:
    """Of two pictures [h, w, 3], of numbers up to 255."""
    return float(tf.image.ssim(*(tf.constant(z, tf.float32) for z in (x, y)), max_val=255))
