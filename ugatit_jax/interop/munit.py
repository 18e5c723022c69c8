"""Names and layouts of the UNIT and MUNIT authors' PyTorch implementation, and ours.

A file `gen_….pt` holds one state_dict for each domain, {'a': …, 'b': …}, and `dis_….pt` beside it
those of the discriminators.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.torch_file import read_torch_file
from ugatit_jax.interop.state_dict import (
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

# Of normalisations, and never used.
STATISTICS = re.compile(r".*\.norm\.(running_mean|running_var|num_batches_tracked)")


def is_one(content: Any) -> bool:
    """Tell a file of generators by what is in it."""
    return (
        isinstance(content, dict)
        and content.keys() == {"a", "b"}
        and all(map(is_state_dict, content.values()))
    )


def read_files(
    source: Path, generators: Mapping[str, StateDict], image_size: int | None
) -> Weights:
    """Return what a file of generators holds, and the dis_….pt beside it if there is one.

    source: gen_….pt, or a released file of any name; generators: what is in it. image_size: that
    pictures are translated at, in px; default: 256. Without the discriminators' file, these begin
    anew. Raises `InputError` for a file that does not fit.
    """
    try:
        config = _config_of(generators["a"])
    except ValueError as error:
        raise InputError(f"{source} does not fit: {in_a_line(error)}") from None
    if image_size is not None:
        config.data.image_size = (image_size, image_size)
    beside = source.with_name(re.sub(r"^gen_", "dis_", source.name))
    judges = None
    if beside != source and beside.is_file():
        judges = read_torch_file(beside)
        if not is_one(judges):
            raise InputError(f"{beside} holds no discriminators: two state_dicts, a and b")
        first = judges["a"]
        config.model.discriminator_scales = count(r"cnns\.\d+\.0\.conv\.weight", first)
        config.model.discriminator_layers = count(r"cnns\.0\.\d+\.conv\.weight", first)
    check_config(config, device_count=1)
    method, model = build_method(config), config.model
    expected, other = shapes(method)
    names = {"munit": munit_names, "unit": unit_names}[config.method](model.residual_blocks)
    params = {"generators": _read(source, generators, names, expected["generators"])}
    if judges is None:
        fresh, _ = jax.jit(method.init)(jax.random.key(config.seed))
        params["discriminators"] = fresh["discriminators"]
    else:
        names = discriminator_names(model.discriminator_layers, model.discriminator_scales)
        params["discriminators"] = _read(beside, judges, names, expected["discriminators"])
    number = re.fullmatch(r"gen_(\d+)\.pt", source.name)
    return Weights(config, int(number[1]) if number else 0, params, other, moments=None)


def _config_of(state_dict: StateDict) -> Any:
    """Return the config that names and shapes of a domain's networks tell."""
    config = get_config(
        "munit" if any(x.startswith("enc_content.") for x in state_dict) else "unit"
    )
    encoder = "enc_content" if config.method == "munit" else "enc"
    config.model.base_width = outputs(state_dict, f"{encoder}.model.0.conv.weight")
    blocks = rf"{encoder}\.model\.3\.model\.\d+\.model\.0\.conv\.weight"
    config.model.residual_blocks = count(blocks, state_dict)
    if config.method == "munit":
        config.model.style_size = outputs(state_dict, "enc_style.model.6.weight")
    return config


def _read(
    file: Path, networks: Mapping[str, StateDict], names: Mapping[str, str], expected: Any
) -> dict[str, Any]:
    found = {}
    for domain, state_dict in networks.items():
        try:
            params = import_network(state_dict, names, expected[domain], unused=STATISTICS)
        except ValueError as error:
            raise InputError(f"{file} does not fit: in {domain}, {in_a_line(error)}") from None
        found[domain] = jax.tree.map(lambda x: np.asarray(x, np.float32), params)
    return found


def encoder_names(blocks: int, theirs: str, ours: str) -> dict[str, str]:
    """Return {PyTorch's name: ours, 'encoder/…/kernel'} of a content encoder."""
    layers = {f"{theirs}.model.{i}.conv": f"{ours}/down_{i}" for i in range(3)}
    return with_biases(layers | _block_names(blocks, f"{theirs}.model.3", ours))


def decoder_names(blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of a decoder."""
    layers = _block_names(blocks, "dec.model.0", "decoder")
    layers |= {f"dec.model.{2 + 2 * i}.conv": f"decoder/up_{i}" for i in range(2)}
    norms = {
        f"dec.model.{2 + 2 * i}.norm.{name}": f"decoder/up_norm_{i}/{name}"
        for i in range(2)
        for name in ("gamma", "beta")
    }
    return with_biases(layers | {"dec.model.5.conv": "decoder/to_rgb"}) | norms


def munit_names(blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of all of a domain's networks but the discriminator."""
    layers = {f"enc_style.model.{i}.conv": f"style_encoder/down_{i}" for i in range(5)}
    layers |= {"enc_style.model.6": "style_encoder/to_style"}
    layers |= {f"mlp.model.{i}.fc": f"mlp/fc_{i}" for i in range(3)}
    content = encoder_names(blocks, "enc_content", "content_encoder")
    return with_biases(layers) | content | decoder_names(blocks)


def unit_names(blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of a domain's encoder and decoder."""
    return encoder_names(blocks, "enc", "encoder") | decoder_names(blocks)


def discriminator_names(layers: int, scales: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of a domain's discriminator."""
    names = {}
    for scale in range(scales):
        for i in range(layers):
            names[f"cnns.{scale}.{i}.conv"] = f"scale_{scale}_conv_{i}"
        names[f"cnns.{scale}.{layers}"] = f"scale_{scale}_logit"
    return with_biases(names)


def _block_names(blocks: int, theirs: str, ours: str) -> dict[str, str]:
    return {
        f"{theirs}.model.{i}.model.{j}.conv": f"{ours}/block_{i}/conv_{j}"
        for i in range(blocks)
        for j in range(2)
    }
