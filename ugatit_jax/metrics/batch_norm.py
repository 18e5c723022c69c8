"""Batch normalisation in a trained network, folded into the convolution before it."""

from collections.abc import Mapping

import numpy as np

EPSILON = 1e-3  # both networks'


def fold(state_dict: Mapping[str, np.ndarray], conv: str, norm: str) -> dict[str, np.ndarray]:
    """A convolution without bias and the normalisation after it, as one convolution.

    `conv` and `norm` name them in a PyTorch state_dict. Returns Flax's float32 `kernel`
    [height, width, inputs per group, outputs] and `bias` [outputs], computed in float64.
    Raises `KeyError` for what `state_dict` does not hold.
    """
    kernel = state_dict[f"{conv}.weight"].astype(np.float64).transpose(2, 3, 1, 0)
    weight, bias, mean, variance = (
        state_dict[f"{norm}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight / np.sqrt(variance + EPSILON)
    folded = {"kernel": kernel * scale, "bias": bias - mean * scale}
    return {name: array.astype(np.float32) for name, array in folded.items()}
