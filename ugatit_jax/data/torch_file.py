"""PyTorch's files, read and written without PyTorch, and without running what a file says.

A file is a pickle whose tensors refer to raw storages: within a zip archive since PyTorch 1.6, one
after the other before. Reading resolves a handful of names, those that tensors in (ordered)
dictionaries take, and refuses any other.
"""

import collections
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ugatit_jax.console.errors import InputError

DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
MAGIC = 0x1950A86A20F9469CFC6C  # what files from before zip archives begin with


def read_torch_file(path: Path) -> Any:
    """Return what `torch.save` wrote, with NumPy arrays for tensors.

    Raises `InputError` if it cannot be read, or holds more than tensors in dictionaries and lists.
    """
    try:
        with path.open("rb") as file:
            return _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"{path} is no PyTorch file of tensors: {error}") from None


def write_torch_file(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write float32 arrays, in dictionaries of any depth, as `torch.save` would."""
    root = path.stem
    # Nothing is compressed: PyTorch takes it as it is.
    with zipfile.ZipFile(path, "w") as archive:
        pickled, arrays = _pickle_tensors(tensors)
        archive.writestr(f"{root}/data.pkl", pickled)
        archive.writestr(f"{root}/byteorder", "little")
        for key, array in enumerate(arrays):
            archive.writestr(f"{root}/data/{key}", array.astype("<f4").tobytes())
        archive.writestr(f"{root}/version", "3\n")


def _read_zip(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        root = name.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist():
            byte_order = archive.read(f"{root}byteorder")
            if byte_order != b"little":
                raise ValueError(f"its byte order is {byte_order.decode()}")
        with archive.open(name) as pickled:
            unpickler = _Unpickler(pickled)
            found = unpickler.load()
        for key, storage in unpickler.storages.items():
            storage[:] = np.frombuffer(archive.read(f"{root}data/{key}"), storage.dtype)
    return found


def _read_legacy(file: IO[bytes]) -> Any:
    file.seek(0)
    if _Unpickler(file).load() != MAGIC:
        raise ValueError("it begins otherwise")
    for _ in ("version of the protocol", "the machine that wrote it"):
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    found = unpickler.load()
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        storage[:] = np.frombuffer(file.read(count * storage.itemsize), storage.dtype)
    return found


class _Unpickler(pickle.Unpickler):
    """Collects the storages, for the caller to fill after the tensors were made of them."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) in (
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch._utils", "_rebuild_tensor"),  # before PyTorch 0.4
        ):
            return _rebuild_tensor
        if (module, name) == ("torch", "Size"):
            return tuple
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if module == "torch" and name in DTYPES:
            return np.dtype(DTYPES[name])
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, count, *_ = pid
        return self.storages.setdefault(key, np.empty(count, dtype))


def _rebuild_tensor(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> np.ndarray:
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if min(offset, *shape, *strides, 0) < 0 or (0 not in shape and last >= storage.size):
        raise ValueError("a tensor lies outside its storage")
    in_bytes = [s * storage.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, in_bytes)


def _rebuild_parameter(tensor: np.ndarray, *_: Any) -> np.ndarray:
    return tensor


def _pickle_tensors(tensors: Mapping[str, Any]) -> tuple[bytes, list[np.ndarray]]:
    """Return the pickle, and the storages that it refers to as 0, 1, …

    PyTorch need not be there to be named, so the opcodes are written one by one.
    """
    arrays: list[np.ndarray] = []
    ordered_dict = (
        pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    )

    def plain(value: Any) -> bytes:
        return pickle.dumps(value, 2)[2:-1]  # without the opcodes for start and stop

    def tensor(array: np.ndarray) -> bytes:
        arrays.append(array)
        strides = tuple(math.prod(array.shape[i:]) for i in range(1, array.ndim + 1))
        storage = [plain("storage"), pickle.GLOBAL + b"torch\nFloatStorage\n"]
        storage += [plain(str(len(arrays) - 1)), plain("cpu"), plain(array.size)]
        parts = [pickle.MARK + b"".join(storage) + pickle.TUPLE + pickle.BINPERSID]
        parts += [plain(0), plain(array.shape), plain(strides), plain(False), ordered_dict]
        rebuild = pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n"
        return rebuild + pickle.MARK + b"".join(parts) + pickle.TUPLE + pickle.REDUCE

    def dictionary(items: Mapping[str, Any]) -> bytes:
        pairs = b"".join(plain(key) + item(value) for key, value in items.items())
        return ordered_dict + pickle.MARK + pairs + pickle.SETITEMS

    def item(value: Any) -> bytes:
        return dictionary(value) if isinstance(value, Mapping) else tensor(value)

    return pickle.PROTO + b"\x02" + dictionary(tensors) + pickle.STOP, arrays
