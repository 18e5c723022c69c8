"""Names and layouts of the authors' PyTorch implementation, and ours."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

StateDict = Mapping[str, np.ndarray]
GENERATORS = {"a2b": "genA2B", "b2a": "genB2A"}
DISCRIMINATORS = {
    ("a", "local"): "disLA",
    ("a", "global"): "disGA",
    ("b", "local"): "disLB",
    ("b", "global"): "disGB",
}


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


def config_fields(networks: Mapping[str, StateDict]) -> dict[str, Any]:
    """Return the config's fields that the names and shapes of six state_dicts tell.

    Without 'data.image_size' for light generators, which take any. Raises `KeyError` with the
    name of a tensor that is not there, and `ValueError` for one that is no kernel.
    """
    generator = networks["genA2B"]
    width = _shape(generator, "DownBlock.1.weight", 4)[0]
    outputs, inputs = _shape(generator, "FC.0.weight", 2)
    fields: dict[str, Any] = {
        "model.light": inputs == outputs,
        "model.base_width": width,
        "model.residual_blocks": sum(name.endswith("conv1.weight") for name in generator),
    }
    for scale, name in (("local", "disLA"), ("global", "disGA")):
        strided = sum(n.startswith("model.") and n.endswith("orig") for n in networks[name])
        fields[f"model.{scale}_layers"] = strided + 1
    if inputs != outputs:
        fields["data.image_size"] = (4 * math.isqrt(inputs // (4 * width)),) * 2
    return fields


def _shape(state_dict: StateDict, name: str, axes: int) -> tuple[int, ...]:
    shape = state_dict[name].shape
    if len(shape) != axes or 0 in shape:
        raise ValueError(f"{name} has shape {shape}, and is no kernel")
    return shape


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


def export_generator(params: Any, residual_blocks: int) -> dict[str, np.ndarray]:
    """Return the state_dict of a PyTorch generator: `import_generator` backwards."""
    flat = flatten_dict(params, sep="/")
    channels = flat["cam/conv1x1/bias"].size
    fc_0 = flat["mlp/fc_0/kernel"]
    fc_0 = fc_0.reshape(-1, channels, fc_0.shape[1]).swapaxes(0, 1)
    flat["mlp/fc_0/kernel"] = fc_0.reshape(-1, fc_0.shape[2])
    names = generator_names(residual_blocks)
    return {theirs: _transpose_back(flat[ours], ours) for theirs, ours in names.items()}


def export_discriminator(params: Any, spectral: Any, layers: int) -> dict[str, np.ndarray]:
    """Return the state_dict of a PyTorch discriminator: `import_discriminator` backwards."""
    flat, vectors = (flatten_dict(tree, sep="/") for tree in (params, spectral))
    state_dict = {}
    for theirs, ours in discriminator_names(layers).items():
        state_dict[theirs] = _transpose_back(flat[ours], ours)
        if theirs.endswith("weight_orig"):
            layer, prefix = ours.removesuffix("/kernel"), theirs.removesuffix("_orig")
            state_dict[f"{prefix}_u"] = vectors[f"{layer}/u"]
            v = vectors[f"{layer}/v"].reshape(flat[ours].shape[:3])
            state_dict[f"{prefix}_v"] = v.transpose(2, 0, 1).reshape(-1)
    return state_dict


def export_networks(state: Any, config: ConfigDict) -> dict[str, dict[str, np.ndarray]]:
    """Return {PyTorch's name of a network: its state_dict} for a `TrainState`."""
    blocks = config.model.residual_blocks
    state_dicts = {
        name: export_generator(state.params["generators"][direction], blocks)
        for direction, name in GENERATORS.items()
    }
    for (domain, scale), name in DISCRIMINATORS.items():
        params = state.params["discriminators"][domain][scale]
        spectral = state.other["spectral"][domain][scale]
        layers = config.model[f"{scale}_layers"]
        state_dicts[name] = export_discriminator(params, spectral, layers)
    return state_dicts


def _transpose(value: np.ndarray, name: str) -> np.ndarray:
    """Turn OIHW into HWIO, [out, in] into [in, out] (1×1 for the CAM), [1, C, 1, 1] into [C]."""
    if not name.endswith("kernel"):
        return value.reshape(-1)
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    kernel = value.T
    return kernel[None, None] if name.startswith("cam/") else kernel


def _transpose_back(value: np.ndarray, name: str) -> np.ndarray:
    """Undo `_transpose`."""
    if name.endswith("kernel"):
        if name.startswith(("cam/gap_fc", "cam/gmp_fc")):
            value = value[0, 0]
        return value.T if value.ndim == 2 else value.transpose(3, 2, 0, 1)
    return value if name.endswith("bias") else value.reshape(1, -1, 1, 1)
