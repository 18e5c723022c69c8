"""Pickles of NumPy arrays in dictionaries, read without running what a file says."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.pickles import load, plain
from ugatit_jax.data.storage import open_file

_CODE = re.compile(r"[fiub][1248]")  # of dtypes of numbers


def read_pickled_arrays(path: Path) -> Any:
    """Return what `pickle.dump` wrote of arrays of numbers in dictionaries, lists and tuples.

    Raises `InputError` if it cannot be read, or holds more than that.
    """
    try:
        with open_file(path) as file:
            return plain(load(file, _names()), _make)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"{path} is no pickle of NumPy arrays: {in_a_line(error)}") from None


class _Dtype:
    """Stands for a dtype. NumPy's own believes whatever a file says of offsets and flags."""

    def __init__(self, code: Any) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        _, self.order, *_ = state


class _Array:
    """Stands for an array, whose kind, shape and numbers the file says after it has made it."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _names() -> dict[tuple[str, str], Any]:
    """The three names that an array takes, for one file."""

    def reconstruct(*_: Any) -> _Array:
        return _Array()

    return {
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): lambda code, *_: _Dtype(code),
    }


def _make(value: Any) -> np.ndarray:
    if not isinstance(value, _Array) or value.state is None:
        raise ValueError("it holds more than arrays in dictionaries")
    _, shape, dtype, is_fortran, content = value.state
    if not isinstance(dtype, _Dtype) or not _CODE.fullmatch(dtype.code):
        raise ValueError("it holds arrays of other than numbers")
    values = np.frombuffer(content, np.dtype(dtype.code).newbyteorder(dtype.order))
    return values.reshape(shape, order="F" if is_fortran else "C")
