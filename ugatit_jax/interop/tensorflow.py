"""Names and layouts of the authors' TensorFlow implementation, and ours.

Convolutions and dense layers have the same layout there and here. Its generator_B makes pictures
of domain B, so it is our a2b; discriminator_A judges domain A. Imports no TensorFlow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

Variables = Mapping[str, np.ndarray]
GENERATORS = {"a2b": "generator_B", "b2a": "generator_A"}
DISCRIMINATORS = {
    (domain, scale): f"discriminator_{domain.upper()}/{scale}"
    for domain in ("a", "b")
    for scale in ("local", "global")
}


def generator_names(residual_blocks: int) -> dict[str, str]:
    """Return {TensorFlow's name below 'generator_B/': ours, 'layer/…/kernel'}."""
    layers = {"CAM_logit": "cam/fc", "conv_1x1/conv2d": "cam/conv1x1", "G_logit/conv2d": "to_rgb"}
    norms, rhos = {}, {}
    for i, suffix in enumerate(("", "_0", "_1")):
        layers[f"conv{suffix}/conv2d"] = f"down_{i}"
        norms[f"ins_norm{suffix}"] = f"down_norm_{i}"
    for i in range(residual_blocks):
        for j in range(2):
            block = f"resblock_{i}/res{j + 1}"
            layers[f"{block}/conv_0/conv2d"] = f"encoder_{i}/conv_{j}"
            norms[f"{block}/instance_norm"] = f"encoder_{i}/norm_{j}"
            block = f"adaptive_resblock{i}/res{j + 1}"
            layers[f"{block}/conv_0/conv2d"] = f"decoder_{i}/conv_{j}"
            rhos[f"{block}/instance_layer_norm"] = f"decoder_{i}/norm_{j}"
    for theirs, ours in (("linear_0", "fc_0"), ("linear_1", "fc_1"), ("gamma",) * 2, ("beta",) * 2):
        layers[f"MLP/{theirs}/dense"] = f"mlp/{ours}"
    for i in range(2):
        layers[f"up_conv_{i}/conv2d"] = f"up_{i}/conv"
        norms[f"layer_ins_norm_{i}"] = rhos[f"layer_ins_norm_{i}"] = f"up_{i}/norm"
    return {
        f"{theirs}/{p}": f"{ours}/{p}"
        for modules, names in (
            (layers, ("kernel", "bias")),
            (norms, ("gamma", "beta")),
            (rhos, ("rho",)),
        )
        for theirs, ours in modules.items()
        for p in names
    }


def discriminator_names(layers: int, spectral_norm: bool) -> dict[str, str]:
    """Return {TensorFlow's name below 'discriminator_A/local/' (say): ours}, u included."""
    between = "" if spectral_norm else "/conv2d"
    modules = {f"conv_{i}{between}": f"conv_{i}" for i in range(layers - 2)}
    modules |= {f"conv_last{between}": f"conv_{layers - 2}", f"D_logit{between}": "logit"}
    modules |= {"CAM_logit": "cam/fc"}
    parameters = ("kernel", "bias", "u") if spectral_norm else ("kernel", "bias")
    names = {f"{theirs}/{p}": f"{ours}/{p}" for theirs, ours in modules.items() for p in parameters}
    return names | {f"conv_1x1/conv2d/{p}": f"cam/conv1x1/{p}" for p in ("kernel", "bias")}


def import_generator(variables: Variables, residual_blocks: int) -> dict[str, Any]:
    """Return the parameters of our generator with the values of a TensorFlow one's variables.

    Their names lack the first part, 'generator_B/'.
    """
    return _rename(variables, generator_names(residual_blocks))


def import_discriminator(
    variables: Variables, layers: int, spectral_norm: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and the 'spectral' collection of our discriminator."""
    names = discriminator_names(layers, spectral_norm)
    params = _rename(variables, {k: v for k, v in names.items() if not v.endswith("/u")})
    spectral = {}
    for theirs, ours in names.items():
        if ours.endswith("/u"):
            # There v is not kept, but follows from u; and u need not be of unit length.
            u = variables[theirs].reshape(-1)
            kernel = variables[theirs.removesuffix("u") + "kernel"].reshape(-1, u.size)
            spectral[ours] = u / np.linalg.norm(u)
            spectral[ours.removesuffix("u") + "v"] = kernel @ u / np.linalg.norm(kernel @ u)
    return params, unflatten_dict(spectral, sep="/")


def _rename(variables: Variables, names: Mapping[str, str]) -> dict[str, Any]:
    params = {ours: variables[theirs] for theirs, ours in names.items()}
    params["cam/fc/kernel"] = params["cam/fc/kernel"][None, None]
    return unflatten_dict(params, sep="/")
