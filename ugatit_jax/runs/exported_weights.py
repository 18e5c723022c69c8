"""The weights of an exported folder: packed and read back."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict
from safetensors.numpy import load, load_file, save

from ugatit_jax.config.checks import build_trained
from ugatit_jax.config.records import load_config
from ugatit_jax.console.errors import InputError, in_a_line, printable
from ugatit_jax.data.storage import AnyPath, first_line, open_file, read_bytes
from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.methods.method import shapes
from ugatit_jax.methods.state import translating
from ugatit_jax.runs.exports import (
    CONFIG,
    DESCRIPTION,
    DTYPES,
    FORMAT,
    read_description,
    weights_file,
)


def read_exported(folder: AnyPath) -> tuple[ConfigDict, int, dict[str, Any]]:
    """Read the config, the step, and the weights by direction, float32, on the host.

    There are those of the exported directions only. Raises `InputError` if a newer program wrote
    the folder, and for a file that is missing or not as it was written.
    """
    path = folder / DESCRIPTION
    description = read_description(path, FORMAT)
    try:
        step, directions = description["step"], description["directions"]
        if type(step) is not int or step < 0:
            raise ValueError(f"step is {step!r}")
        # Of names of files that it makes up, none is opened.
        if directions not in ([*DIRECTIONS], *([x] for x in DIRECTIONS), [*reversed(DIRECTIONS)]):
            raise ValueError(
                f"directions are {directions!r}, and can be {' and '.join(DIRECTIONS)}"
            )
        checksums = {name: file["sha256"] for name, file in description["files"].items()}
        for name in (CONFIG, *map(weights_file, directions)):
            _check_file(folder / name, checksums[name])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        said = in_a_line(repr(error))
        raise InputError(f"cannot read {path}: {said}; export the run again") from None
    config = load_config(folder / CONFIG)
    method, (params, _) = build_trained(config, folder / CONFIG, shapes)
    if missing := [way for way in directions if way not in method.directions]:
        raise InputError(f"{path} has a direction {missing[0]}, which {config.method} has not")
    groups = translating(method, params)
    weights = {
        way: _read_weights(folder / weights_file(way), method.select(groups, way))
        for way in directions
    }
    return config, step, weights


def pack_weights(params: Any, dtype: str) -> bytes:
    """Return the weights of one direction as a safetensors file, in 'float32' or 'bfloat16'."""
    flat = flatten_dict(jax.device_get(params), sep="/")
    tensors = {name: np.ascontiguousarray(x, jnp.dtype(dtype)) for name, x in flat.items()}
    return save(tensors, metadata={"format": "np"})


def _read_weights(file: AnyPath, shapes: Any) -> Any:
    try:
        # Of a file of this machine, only what is used is read.
        tensors = load_file(file) if isinstance(file, Path) else load(read_bytes(file))
    except Exception as error:  # the library knows kinds of numbers that NumPy does not
        raise InputError(f"cannot read {file}: {in_a_line(error)}; export the run again") from None
    if others := {str(x.dtype) for x in tensors.values()} - {*DTYPES}:
        raise InputError(
            f"{file} holds numbers of {min(others)}, and is to hold {' or '.join(DTYPES)}; export "
            "the run again"
        )
    expected = flatten_dict(shapes, sep="/")
    for name in sorted(expected.keys() | tensors.keys()):
        found, fits = (x[name].shape if name in x else "absent" for x in (tensors, expected))
        if found != fits:
            raise InputError(
                f"{file} does not fit its {CONFIG}: {printable(name)} is {found}, expected {fits}; "
                "export the run again"
            )
    return unflatten_dict({k: x.astype(np.float32) for k, x in tensors.items()}, sep="/")


def _check_file(file: AnyPath, sha256: str) -> None:
    """Raise `InputError` unless a file is as it was written: half copied, it may still load."""
    try:
        with open_file(file) if isinstance(file, Path) else file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {first_line(error)}; copy the whole folder"
        ) from None
    if found != sha256:
        raise InputError(
            f"{file} is not as it was exported (its SHA-256 differs from {DESCRIPTION}'s): "
            "copy it again"
        )
