"""Names and layouts of the DRIT authors' PyTorch implementation, and ours.

A file, `00999.pth` or `last.pth`, holds the state_dict of each of eight networks beside what their
optimisers know. Networks of both domains are in one; `--concat 0`, whose generators have other
layers, and spectral norms are not what ours are, and refused.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.interop.state_dict import (
    Layout,
    StateDict,
    count,
    import_network,
    is_state_dict,
    outputs,
    with_biases,
)
from ugatit_jax.interop.weights import Weights
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import shapes

GENERATIVE = {"enc_c": "content_encoders", "enc_a": "attribute_encoders", "gen": "generators"}
DISCRIMINATORS = {
    "disA": ("a", "encoded"),
    "disA2": ("a", "random"),
    "disB": ("b", "encoded"),
    "disB2": ("b", "random"),
}
DOMAINS = {"A": "a", "B": "b"}


def is_one(content: Any) -> bool:
    """Tell a file of DRIT by what is in it."""
    return isinstance(content, dict) and all(is_state_dict(content.get(x)) for x in GENERATIVE)


def read_file(source: Path, networks: Mapping[str, Any], image_size: int | None) -> Weights:
    """Return what a file holds; without its discriminators, these begin anew.

    networks: what is in it. image_size: that pictures are translated at, in px; default: 216.
    Raises `InputError` if it does not fit.
    """
    judged = all(is_state_dict(networks.get(name)) for name in (*DISCRIMINATORS, "disContent"))
    try:
        config = _config_of(networks, judged)
        if image_size is not None:
            config.data.image_size = (image_size, image_size)
        check_config(config, device_count=1)
        params, other = _read(config, networks, judged)
    except ValueError as error:
        raise InputError(f"{source} does not fit: {in_a_line(error)}") from None
    step = np.asarray(networks.get("total_it", 0))
    return Weights(config, int(step) if step.ndim == 0 else 0, params, other, moments=None)


def _config_of(networks: Mapping[str, Any], judged: bool) -> ConfigDict:
    """Return the config that names and shapes of the networks tell."""
    config = get_config("drit")
    model, content = config.model, networks["enc_c"]
    model.base_width = outputs(content, "convA.0.model.1.weight")
    model.residual_blocks = count(r"convA\.\d+\.model\.5\.weight", content)
    model.style_size = outputs(networks["enc_a"], "fc_A.0.weight")
    if judged:
        pictures = networks["disA"]
        model.discriminator_scales = count(r"Diss\.\d+\.0\.model\.1\.weight", pictures)
        model.discriminator_layers = count(r"Diss\.0\.\d+\.model\.1\.weight", pictures)
        layers = count(r"model\.\d+\.model\.1\.weight", networks["disContent"])
        model.content_discriminator_layers = max(layers - 1, 0)
    return config


def _read(
    config: ConfigDict, networks: Mapping[str, Any], judged: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    method, model = build_method(config), config.model
    expected, other = shapes(method)
    names = {
        "enc_c": content_encoder_names(model.residual_blocks),
        "enc_a": attribute_encoder_names(),
        "gen": generator_names(model.residual_blocks),
    }

    def read(name: str, names: Mapping[str, str], expected: Any) -> Any:
        found: StateDict = networks[name]
        try:
            params = import_network(found, names, expected, layouts_of(names))
        except ValueError as error:
            raise ValueError(f"in {name}, {error}") from None
        return jax.tree.map(lambda x: np.asarray(x, np.float32), params)

    params = {group: read(name, names[name], expected[group]) for name, group in GENERATIVE.items()}
    if not judged:
        fresh, _ = jax.jit(method.init)(jax.random.key(config.seed))
        return dict(fresh) | params, other
    of_pictures = discriminator_names(model.discriminator_layers, model.discriminator_scales)
    judges: dict[str, Any] = {"a": {}, "b": {}}
    for name, (domain, kind) in DISCRIMINATORS.items():
        judges[domain][kind] = read(name, of_pictures, expected["discriminators"][domain][kind])
    of_content = content_discriminator_names(model.content_discriminator_layers)
    group = "content_discriminator"
    return params | {
        "discriminators": judges,
        group: read("disContent", of_content, expected[group]),
    }, other


def _block_names(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.model.{1 + 4 * j}": f"{ours}/conv_{j}" for j in range(2)}


def content_encoder_names(blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of the content encoders."""
    layers = _block_names("conv_share.0", "shared")
    for theirs, ours in DOMAINS.items():
        layers |= {f"conv{theirs}.{i}.model.1": f"{ours}/down_{i}" for i in range(3)}
        for i in range(blocks):
            layers |= _block_names(f"conv{theirs}.{3 + i}", f"{ours}/block_{i}")
    return with_biases(layers)


def attribute_encoder_names() -> dict[str, str]:
    """Return {PyTorch's name: ours} of the attribute encoders."""
    layers = {}
    for theirs, ours in DOMAINS.items():
        layers[f"conv_{theirs}.1"] = f"{ours}/down"
        for i in range(3):
            block = f"conv_{theirs}.{2 + i}"
            layers[f"{block}.conv.2"] = f"{ours}/block_{i}_conv_0"
            layers[f"{block}.conv.4.1"] = f"{ours}/block_{i}_conv_1"
            layers[f"{block}.shortcut.1"] = f"{ours}/block_{i}_shortcut"
        layers[f"fc_{theirs}.0"] = f"{ours}/mean"
        layers[f"fcVar_{theirs}.0"] = f"{ours}/log_variance"
    return with_biases(layers)


LAYOUTS = {  # of generators
    r"dec[AB](2\.0\.model\.0|3\.0\.model\.0|4\.0)\.weight": Layout.TRANSPOSED_KERNEL,
    r"dec[AB][23]\.0\.model\.1\.(weight|bias)": Layout.PLANES,
}


def layouts_of(names: Iterable[str]) -> dict[str, Layout]:
    """Return the layouts of those of PyTorch's tensors that have one of their own."""
    return {
        name: layout
        for name in names
        for pattern, layout in LAYOUTS.items()
        if re.fullmatch(pattern, name)
    }


def generator_names(blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of the generators."""
    layers = _block_names("dec_share.0", "shared")
    norms: dict[str, str] = {}
    for theirs, ours in DOMAINS.items():
        for i in range(blocks):
            layers |= _block_names(f"dec{theirs}1.{i}", f"{ours}/block_{i}")
        for i in range(2):
            up = f"dec{theirs}{2 + i}.0.model"
            layers[f"{up}.0"] = f"{ours}/up_{i}"
            norms |= {f"{up}.1.weight": f"{ours}/gamma_{i}", f"{up}.1.bias": f"{ours}/beta_{i}"}
        layers[f"dec{theirs}4.0"] = f"{ours}/to_rgb"
    return with_biases(layers) | norms


def discriminator_names(layers: int, scales: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of one of the discriminators of pictures."""
    names = {}
    for scale in range(scales):
        for i in range(layers):
            names[f"Diss.{scale}.{i}.model.1"] = f"scale_{scale}_conv_{i}"
        names[f"Diss.{scale}.{layers}"] = f"scale_{scale}_logit"
    return with_biases(names)


def content_discriminator_names(layers: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of the discriminator of contents."""
    names = {f"model.{i}.model.1": f"conv_{i}" for i in range(layers + 1)}
    return with_biases(names | {f"model.{layers + 1}": "logit"})
