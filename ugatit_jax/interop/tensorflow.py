"""Names and layouts of the authors' TensorFlow implementation, and ours.

Convolutions and dense layers have the same layout there and here. Its generator_B makes pictures
of domain B, so it is our a2b; discriminator_A judges domain A. Imports no TensorFlow.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

Variables = Mapping[str, np.ndarray]
# The folder of its checkpoints is named after its options.
FOLDER = re.compile(
    r"_(?P<kind>gan|lsgan|hinge|wgan-gp|wgan-lp|dragan)_\d+resblock_\d+dis_\d+"
    r"_(?P<adversarial>\d+)_(?P<cycle>\d+)_(?P<identity>\d+)_(?P<cam>\d+)(_sn)?"
    r"(?P<smoothing>_smoothing)?$"
)
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


def config_fields(shapes: Mapping[str, tuple[int, ...]], folder: str) -> dict[str, Any]:
    """Return the config's fields that the variables' shapes and the name of their folder tell.

    Without 'data.image_size' for light generators, which take any. Raises `KeyError` with the
    name of a variable that is not there, and `ValueError` for one that is no kernel.
    """
    first, dense = (
        shapes[f"generator_B/{layer}/kernel"] for layer in ("conv/conv2d", "MLP/linear_0/dense")
    )
    if (len(first), len(dense)) != (4, 2) or 0 in (*first, *dense):
        raise ValueError(f"its first kernels have shapes {first} and {dense}")
    width, (inputs, outputs) = first[-1], dense
    spectral_norm = "discriminator_A/local/conv_0/u" in shapes
    fields: dict[str, Any] = {
        "model.light": inputs == outputs,
        "model.base_width": width,
        "model.residual_blocks": _count(r"generator_B/resblock_\d+/res1/.*kernel", shapes),
        "model.spectral_norm": spectral_norm,
    }
    for scale in ("local", "global"):
        convolutions = rf"discriminator_A/{scale}/conv_(\d+|last)(/conv2d)?/kernel"
        fields[f"model.{scale}_layers"] = _count(convolutions, shapes) + 1
    if inputs != outputs:
        fields["data.image_size"] = (4 * math.isqrt(inputs // (4 * width)),) * 2
    if found := FOLDER.search(folder):
        fields["loss.kind"] = found["kind"]
        for term in ("adversarial", "cycle", "identity", "cam"):
            fields[f"loss.{term}"] = float(found[term])
        fields["model.rho_margin"] = 0.1 if found["smoothing"] else 0.0
    return fields


def import_generator(variables: Variables, residual_blocks: int) -> dict[str, Any]:
    """Return the parameters of our generator with the values of a TensorFlow one's variables.

    Their names lack the first part, 'generator_B/'.
    """
    return _rename(variables, generator_names(residual_blocks))


def import_discriminator(variables: Variables, layers: int, spectral_norm: bool) -> dict[str, Any]:
    """Return the parameters of our discriminator; names lack the 'discriminator_A/local/'."""
    names = discriminator_names(layers, spectral_norm)
    return _rename(variables, {k: v for k, v in names.items() if not v.endswith("/u")})


def import_spectral(variables: Variables, layers: int) -> dict[str, Any]:
    """Return the 'spectral' collection of our discriminator, for one with spectral norm."""
    spectral = {}
    for theirs, ours in discriminator_names(layers, spectral_norm=True).items():
        if ours.endswith("/u"):
            # There v is not kept, but follows from u; and u need not be of unit length.
            u = variables[theirs].reshape(-1)
            kernel = variables[theirs.removesuffix("u") + "kernel"].reshape(-1, u.size)
            spectral[ours] = u / np.linalg.norm(u)
            spectral[ours.removesuffix("u") + "v"] = kernel @ u / np.linalg.norm(kernel @ u)
    return unflatten_dict(spectral, sep="/")


def expected_shapes(params: Any, spectral: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return {TensorFlow's name: its shape there} for (maybe abstract) parameters of ours."""
    flat = flatten_dict({"params": params, "spectral": spectral}, sep="/")
    shapes = {}
    for theirs, ours in names.items():
        if ours.endswith("/u"):
            shapes[theirs] = (1, *flat[f"spectral/{ours}"].shape)
        else:
            shape = flat[f"params/{ours}"].shape
            shapes[theirs] = shape[2:] if ours == "cam/fc/kernel" else shape
    return shapes


def _count(pattern: str, names: Iterable[str]) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in names)


def _rename(variables: Variables, names: Mapping[str, str]) -> dict[str, Any]:
    params = {ours: variables[theirs] for theirs, ours in names.items()}
    params["cam/fc/kernel"] = params["cam/fc/kernel"][None, None]
    return unflatten_dict(params, sep="/")
