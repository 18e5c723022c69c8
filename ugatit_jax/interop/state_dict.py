"""A PyTorch network's tensors in our trees and back, by a table of names.

Where one does not fit, `import_network` raises `ValueError` with the first tensor that does not, in
words that follow "FILE does not fit: ".
"""

import functools
import re
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]
# Of normalisations, and never used.
STATISTICS = re.compile(r".*\.norm\.(running_mean|running_var|num_batches_tracked)")


def import_network(
    state_dict: StateDict,
    names: Mapping[str, str],
    expected: Any,
    transposed: Collection[str] = (),
) -> Any:
    """Return our parameters with the values of a PyTorch state_dict, if its tensors are these.

    names: {PyTorch's: ours, 'layer/…/kernel'}. expected: our parameters, maybe as
    `jax.ShapeDtypeStruct`s. transposed: PyTorch's names of kernels of transposed convolutions.
    """
    for name in names:
        if name not in state_dict:
            raise ValueError(f"it has no {name}")
    for name, value in state_dict.items():
        if name not in names and not STATISTICS.fullmatch(name):
            raise ValueError(f"{name}, of shape {np.shape(value)}, is no part")
    backwards = functools.partial(export_network, names=names, transposed=transposed)
    shapes = jax.eval_shape(backwards, expected)
    for name, value in shapes.items():
        # A vector may have axes of one value beside its own, for pictures to be multiplied with.
        found = np.shape(state_dict[name])
        if (found[: len(value.shape)], set(found[len(value.shape) :]) | {1}) != (value.shape, {1}):
            raise ValueError(f"{name} has shape {found}, expected {value.shape}")
    flat = {
        ours: _import(state_dict[theirs].reshape(shapes[theirs].shape), theirs in transposed)
        for theirs, ours in names.items()
    }
    return unflatten_dict(flat, sep="/")


def export_network(
    params: Any, names: Mapping[str, str], transposed: Collection[str] = ()
) -> dict[str, Any]:
    """Return the state_dict of a PyTorch network: `import_network` backwards."""
    flat = flatten_dict(params, sep="/")
    return {theirs: _export(flat[ours], theirs in transposed) for theirs, ours in names.items()}


def _import(value: Any, transposed: bool) -> Any:
    """Turn OIHW into HWIO, and OI of dense layers into IO.

    PyTorch's transposed convolution is the other one's gradient: IOHW, and turned by half a circle.
    """
    if transposed:
        return value[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    return value.transpose({4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[value.ndim])


def _export(value: Any, transposed: bool) -> Any:
    if transposed:
        return value.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1]
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
