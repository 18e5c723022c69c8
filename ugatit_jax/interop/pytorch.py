"""Names and layouts of the authors' PyTorch implementation, and ours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

StateDict = Mapping[str, np.ndarray]


def generator_names(residual_blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours, 'layer/…/kernel'} for a generator."""
    names = {f"DownBlock.{1 + 4 * i}.weight": f"down_{i}/kernel" for i in range(3)}
    for i in range(residual_blocks):
        for j, position in enumerate((1, 5)):
            theirs = f"DownBlock.{12 + i}.conv_block.{position}.weight"
            names[theirs] = f"encoder_{i}/conv_{j}/kernel"
            block = f"UpBlock1_{i + 1}"
            names[f"{block}.conv{j + 1}.weight"] = f"decoder_{i}/conv_{j}/kernel"
            names[f"{block}.norm{j + 1}.rho"] = f"decoder_{i}/norm_{j}/rho"
    names |= cam_names("weight")
    for theirs, ours in (("FC.0", "fc_0"), ("FC.2", "fc_1"), ("gamma", "gamma"), ("beta", "beta")):
        names[f"{theirs}.weight"] = f"mlp/{ours}/kernel"
    for i in range(2):
        names[f"UpBlock2.{5 * i + 2}.weight"] = f"up_{i}/conv/kernel"
        for p in ("rho", "gamma", "beta"):
            names[f"UpBlock2.{5 * i + 3}.{p}"] = f"up_{i}/norm/{p}"
    return names | {"UpBlock2.11.weight": "to_rgb/kernel"}


def discriminator_names(layers: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} for a discriminator's parameters."""
    names = cam_names("weight_orig")
    for i in range(layers - 1):
        names[f"model.{1 + 3 * i}.weight_orig"] = f"conv_{i}/kernel"
        names[f"model.{1 + 3 * i}.bias"] = f"conv_{i}/bias"
    return names | {"conv.weight_orig": "logit/kernel"}


def cam_names(fc_weight: str) -> dict[str, str]:
    """Return {PyTorch's name: ours} for the class attention."""
    return {
        f"gap_fc.{fc_weight}": "cam/gap_fc/kernel",
        f"gmp_fc.{fc_weight}": "cam/gmp_fc/kernel",
        "conv1x1.weight": "cam/conv1x1/kernel",
        "conv1x1.bias": "cam/conv1x1/bias",
    }


def import_generator(state_dict: StateDict, residual_blocks: int) -> dict[str, Any]:
    """Return the parameters of our generator with the values of a PyTorch state_dict."""
    channels = state_dict["conv1x1.bias"].size
    flat = {}
    for theirs, ours in generator_names(residual_blocks).items():
        value = _transpose(state_dict[theirs], ours)
        if ours == "mlp/fc_0/kernel" and value.shape[0] != channels:
            # The full generator flattens C, H, W there and H, W, C here.
            value = value.reshape(channels, -1, value.shape[1]).swapaxes(0, 1)
            value = value.reshape(-1, value.shape[2])
        flat[ours] = value
    return unflatten_dict(flat, sep="/")


def import_discriminator(
    state_dict: StateDict, layers: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and the 'spectral' collection of our discriminator."""
    names = discriminator_names(layers)
    params = {ours: _transpose(state_dict[theirs], ours) for theirs, ours in names.items()}
    spectral = {}
    for theirs, ours in names.items():
        if theirs.endswith("weight_orig"):
            layer, prefix = ours.removesuffix("/kernel"), theirs.removesuffix("_orig")
            spectral[f"{layer}/u"] = state_dict[f"{prefix}_u"]
            # v runs over [in, h, w] there and over [h, w, in] here.
            v, shape = state_dict[f"{prefix}_v"], state_dict[theirs].shape[1:]
            spectral[f"{layer}/v"] = np.moveaxis(v.reshape(shape), 0, -1).reshape(-1)
    return unflatten_dict(params, sep="/"), unflatten_dict(spectral, sep="/")


def _transpose(value: np.ndarray, name: str) -> np.ndarray:
    """Turn OIHW into HWIO, [out, in] into [in, out] (1×1 for the CAM), [1, C, 1, 1] into [C]."""
    if not name.endswith("kernel"):
        return value.reshape(-1)
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    kernel = value.T
    return kernel[None, None] if name.startswith("cam/") else kernel
