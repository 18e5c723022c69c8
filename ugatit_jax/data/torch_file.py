"""PyTorch's files, read and written without PyTorch, and without running what a file says.

A file is a pickle whose tensors refer to raw storages: within a zip archive since PyTorch 1.6, one
after the other before. Reading resolves a handful of names, those that tensors in (ordered)
dictionaries take, and refuses any other.
"""

import io
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.pickles import Dictionary, load, plain
from ugatit_jax.data.storage import open_file

DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
MAGIC = 0x1950A86A20F9469CFC6C  # what files from before zip archives begin with


def read_torch_file(path: Path) -> Any:
    """Return what `torch.save` wrote, with NumPy arrays, not to be written to, for tensors.

    It takes no more memory than the file is large. Raises `InputError` if it cannot be read, or
    holds more than tensors in dictionaries and lists.
    """
    try:
        with open_file(path) as file:
            return _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"{path} is no PyTorch file of tensors: {in_a_line(error)}") from None


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
        name = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if name is None:
            raise ValueError("it is an archive without data.pkl")
        root = name.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist():
            byte_order = _read_entry(archive, f"{root}byteorder")
            if byte_order != b"little":
                raise ValueError(f"its byte order is {byte_order[:16].decode()}")
        tensors = _Tensors()
        found = tensors.load(io.BytesIO(_read_entry(archive, name)))
        # Entries may lie over each other: many of them in a small file.
        if sum(storage.nbytes for storage in tensors.storages.values()) > _size(file):
            raise ValueError("its storages are larger than the file")
        for key, storage in tensors.storages.items():
            storage.fill(_read_entry(archive, f"{root}data/{key}", storage.nbytes))
    return tensors.finish(found)


def _read_entry(archive: zipfile.ZipFile, name: str, size: int | None = None) -> bytes:
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:  # a little of it might become anything
        raise ValueError(f"{name} is compressed, as PyTorch's files are not")
    if size not in (None, entry.file_size):
        raise ValueError(f"{name} has {entry.file_size} bytes, expected {size}")
    return archive.read(entry)


def _read_legacy(file: IO[bytes]) -> Any:
    file.seek(0)
    if _Tensors().load(file) != MAGIC:
        raise ValueError("it begins otherwise")
    for _ in ("version of the protocol", "the machine that wrote it"):
        _Tensors().load(file)
    tensors = _Tensors()
    found = tensors.load(file)
    for key in _Tensors().load(file):
        storage = tensors.storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count or storage.nbytes > _size(file) - file.tell():
            raise ValueError(f"storage {key} has not the {storage.count} values that it should")
        storage.fill(file.read(storage.nbytes))
    return tensors.finish(found)


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


@dataclass
class _Storage:
    dtype: np.dtype[Any]
    count: int
    values: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize

    def fill(self, content: bytes) -> None:
        self.values = np.frombuffer(content, self.dtype, self.count)


class _Tensor(NamedTuple):
    """Stands for a tensor until its storage is read."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class _Tensors:
    """Reads a pickle of tensors, and collects the storages, for the caller to fill."""

    def __init__(self) -> None:
        self.storages: dict[Any, _Storage] = {}
        self._bytes, self._used = 0, 0  # of all storages, and of the tensors so far

    def load(self, file: IO[bytes]) -> Any:
        # Of this file alone: a pickle can change attributes of what it is given.
        def rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
            return _Tensor(storage, offset, shape, strides)

        names: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): lambda items=(): Dictionary(items),
            ("torch._utils", "_rebuild_tensor_v2"): rebuild,
            ("torch._utils", "_rebuild_tensor"): rebuild,  # before PyTorch 0.4
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch", "Size"): lambda items=(): tuple(items),
        }
        names |= {("torch", name): code for name, code in DTYPES.items()}
        return load(file, names, self._find)

    def _find(self, pid: Any) -> Any:
        _, dtype, key, _, count, *_ = pid
        if not isinstance(count, int) or count < 0 or dtype not in DTYPES.values():
            raise ValueError("a storage is of no known kind or size")
        if key not in self.storages:
            self.storages[key] = _Storage(np.dtype(dtype), count)
            self._bytes += self.storages[key].nbytes
        storage = self.storages[key]
        if (storage.dtype, storage.count) != (np.dtype(dtype), count):
            raise ValueError(f"storage {key} is of two kinds")
        return _Handle(key)

    def finish(self, found: Any) -> Any:
        return plain(found, self._make)

    def _make(self, value: Any) -> np.ndarray:
        if not isinstance(value, _Tensor) or not isinstance(value.storage, _Handle):
            raise ValueError("it holds more than tensors in dictionaries")
        storage = self.storages[value.storage.key]
        offset, shape, strides = value.offset, tuple(value.shape), tuple(value.strides)
        if not all(isinstance(x, int) for x in (offset, *shape, *strides)):
            raise ValueError("a tensor has a shape of other than whole numbers")
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        is_inside = min(offset, *shape, *strides, 0) == 0 and (0 in shape or last < storage.count)
        if storage.values is None or not is_inside:
            raise ValueError("a tensor lies outside its storage")
        # Values that are repeated, and storages that are shared, would make much of a small file.
        self._used += math.prod(shape) * storage.dtype.itemsize
        if math.prod(shape) > storage.count or self._used > 2 * self._bytes:
            raise ValueError("its tensors are larger than what it holds")
        in_bytes = [s * storage.dtype.itemsize for s in strides]
        values = storage.values[offset:] if 0 not in shape else storage.values
        return np.lib.stride_tricks.as_strided(values, shape, in_bytes, writeable=False)


class _Handle(NamedTuple):
    """Stands for a storage while the pickle is read."""

    key: Any


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
