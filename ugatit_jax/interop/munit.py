"""Names and layouts of the UNIT and MUNIT authors' PyTorch implementation, and ours.

A file `gen_….pt` holds one state_dict for each domain, {'a': …, 'b': …}, and `dis_….pt` beside it
those of the discriminators. Where one does not fit, functions raise `ValueError` with the first
tensor that does not, in words that follow "FILE does not fit: ".
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]
# Of normalisations, and never used.
STATISTICS = re.compile(r".*\.norm\.(running_mean|running_var|num_batches_tracked)")


def encoder_names(blocks: int, theirs: str, ours: str) -> dict[str, str]:
    """Return {PyTorch's name: ours, 'encoder/…/kernel'} of a content encoder."""
    layers = {f"{theirs}.model.{i}.conv": f"{ours}/down_{i}" for i in range(3)}
    return _with_biases(layers | _block_names(blocks, f"{theirs}.model.3", ours))


def decoder_names(blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of a decoder."""
    layers = _block_names(blocks, "dec.model.0", "decoder")
    layers |= {f"dec.model.{2 + 2 * i}.conv": f"decoder/up_{i}" for i in range(2)}
    norms = {
        f"dec.model.{2 + 2 * i}.norm.{name}": f"decoder/up_norm_{i}/{name}"
        for i in range(2)
        for name in ("gamma", "beta")
    }
    return _with_biases(layers | {"dec.model.5.conv": "decoder/to_rgb"}) | norms


def munit_names(blocks: int) -> dict[str, str]:
    """Return {PyTorch's name: ours} of all of a domain's networks but the discriminator."""
    layers = {f"enc_style.model.{i}.conv": f"style_encoder/down_{i}" for i in range(5)}
    layers |= {"enc_style.model.6": "style_encoder/to_style"}
    layers |= {f"mlp.model.{i}.fc": f"mlp/fc_{i}" for i in range(3)}
    content = encoder_names(blocks, "enc_content", "content_encoder")
    return _with_biases(layers) | content | decoder_names(blocks)


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
    return _with_biases(names)


def _block_names(blocks: int, theirs: str, ours: str) -> dict[str, str]:
    return {
        f"{theirs}.model.{i}.model.{j}.conv": f"{ours}/block_{i}/conv_{j}"
        for i in range(blocks)
        for j in range(2)
    }


def _with_biases(layers: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{theirs}.{p}": f"{ours}/{q}"
        for theirs, ours in layers.items()
        for p, q in (("weight", "kernel"), ("bias", "bias"))
    }


def import_network(state_dict: StateDict, names: Mapping[str, str], expected: Any) -> Any:
    """Return our parameters with the values of a PyTorch state_dict, if its tensors are these.

    expected: our parameters, maybe as `jax.ShapeDtypeStruct`s.
    """
    for name in names:
        if name not in state_dict:
            raise ValueError(f"it has no {name}")
    for name, value in state_dict.items():
        if name not in names and not STATISTICS.fullmatch(name):
            raise ValueError(f"{name}, of shape {np.shape(value)}, is no part")
    shapes = jax.eval_shape(functools.partial(export_network, names=names), expected)
    for name, value in shapes.items():
        if np.shape(state_dict[name]) != value.shape:
            raise ValueError(
                f"{name} has shape {np.shape(state_dict[name])}, expected {value.shape}"
            )
    flat = {ours: _transpose(state_dict[theirs], back=False) for theirs, ours in names.items()}
    return unflatten_dict(flat, sep="/")


def export_network(params: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the state_dict of a PyTorch network: `import_network` backwards."""
    flat = flatten_dict(params, sep="/")
    return {theirs: _transpose(flat[ours], back=True) for theirs, ours in names.items()}


def _transpose(value: Any, back: bool) -> Any:
    """Turn OIHW into HWIO, and OI of dense layers into IO; or back."""
    axes = {4: (3, 2, 0, 1) if back else (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    return value.transpose(axes[value.ndim])
