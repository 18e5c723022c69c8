"""A PyTorch network's tensors in our trees and back, by a table of names.

Where one does not fit, `import_network` raises `ValueError` with the first tensor that does not, in
words that follow "FILE does not fit: ".
"""

import enum
import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]


class Layout(enum.Enum):
    """How PyTorch keeps a tensor, where its number of axes does not tell."""

    # That of the gradient of a convolution: IOHW, and turned by half a circle.
    TRANSPOSED_KERNEL = enum.auto()
    # A vector as [C, 1, 1], for pictures to be multiplied with.
    PLANES = enum.auto()


Layouts = Mapping[str, Layout]  # by PyTorch's names
PLAIN: Layouts = MappingProxyType({})


def import_network(
    state_dict: StateDict,
    names: Mapping[str, str],
    expected: Any,
    layouts: Layouts = PLAIN,
    unused: re.Pattern[str] | None = None,
) -> Any:
    """Return our parameters with the values of a PyTorch state_dict, if its tensors are these.

    names: {PyTorch's: ours, 'layer/…/kernel'}. expected: our parameters, maybe as
    `jax.ShapeDtypeStruct`s. unused: names of tensors that are passed over.
    """
    for name in names:
        if name not in state_dict:
            raise ValueError(f"it has no {name}")
    for name, value in state_dict.items():
        if name not in names and not (unused and unused.fullmatch(name)):
            raise ValueError(f"{name}, of shape {np.shape(value)}, is no part")
    backwards = functools.partial(export_network, names=names, layouts=layouts)
    for name, value in jax.eval_shape(backwards, expected).items():
        found = np.shape(state_dict[name])
        if found != value.shape:
            raise ValueError(f"{name} has shape {found}, expected {value.shape}")
    flat = {
        ours: _import(state_dict[theirs], layouts.get(theirs)) for theirs, ours in names.items()
    }
    return unflatten_dict(flat, sep="/")


def export_network(
    params: Any, names: Mapping[str, str], layouts: Layouts = PLAIN
) -> dict[str, Any]:
    """Return the state_dict of a PyTorch network: `import_network` backwards."""
    flat = flatten_dict(params, sep="/")
    return {theirs: _export(flat[ours], layouts.get(theirs)) for theirs, ours in names.items()}


def _import(value: Any, layout: Layout | None) -> Any:
    """Turn OIHW into HWIO, and OI of dense layers into IO, but for what has a layout of its own."""
    if layout is Layout.TRANSPOSED_KERNEL:
        return value[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    if layout is Layout.PLANES:
        return value[:, 0, 0]
    return value.transpose({4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[value.ndim])


def _export(value: Any, layout: Layout | None) -> Any:
    """Undo `_import`."""
    if layout is Layout.TRANSPOSED_KERNEL:
        return value.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1]
    if layout is Layout.PLANES:
        return value[:, None, None]
    return value.transpose({4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim])


def with_biases(layers: Mapping[str, str]) -> dict[str, str]:
    """Return {PyTorch's name: ours} of the kernels and biases of layers."""
    return {
        f"{theirs}.{p}": f"{ours}/{q}"
        for theirs, ours in layers.items()
        for p, q in (("weight", "kernel"), ("bias", "bias"))
    }


def count(pattern: str, state_dict: StateDict) -> int:
    """Return how many tensors have a name of the pattern."""
    return sum(re.fullmatch(pattern, name) is not None for name in state_dict)


def outputs(state_dict: StateDict, name: str) -> int:
    """Return the number of outputs of a convolution or of a dense layer."""
    shape = np.shape(state_dict.get(name, ()))
    if len(shape) not in (2, 4) or shape[0] == 0:
        raise ValueError(f"it has no {name} of a layer")
    return shape[0]


def is_state_dict(value: Any) -> bool:
    """Tell whether something is a dictionary of tensors by name."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(x, np.ndarray) for name, x in value.items()
    )
