"""Files of weights that somebody made to do harm: nothing of them is run, and one line says no."""

import functools
import io
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.pickled_arrays import read_pickled_arrays
from ugatit_jax.data.torch_file import read_torch_file

READERS = [read_torch_file, read_pickled_arrays]
MEMORY = 2**28  # bytes more than before that a refusal may take


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


def calls() -> dict[str, Callable[[str], bytes]]:
    """Pickles of every way to call os.system, by what they do it with; each takes a command."""
    system, dangerous = b"cposix\nsystem\n", text("posix") + text("system") + pickle.STACK_GLOBAL
    ordered = b"ccollections\nOrderedDict\n"
    touch: dict[str, Callable[[str], bytes]] = {
        "GLOBAL": lambda c: system + text(c) + pickle.TUPLE1 + pickle.REDUCE,
        "STACK_GLOBAL": lambda c: dangerous + text(c) + pickle.TUPLE1 + pickle.REDUCE,
        "INST": lambda c: pickle.MARK + text(c) + b"iposix\nsystem\n",
        "OBJ": lambda c: pickle.MARK + system + text(c) + pickle.OBJ,
        "NEWOBJ": lambda c: (
            b"csubprocess\nPopen\n" + text(c) + pickle.TUPLE1 + pickle.NEWOBJ
        ),
        "NEWOBJ_EX": lambda c: (
            b"csubprocess\nPopen\n" + text(c) + pickle.TUPLE1
            + pickle.EMPTY_DICT + text("shell") + pickle.NEWTRUE + pickle.SETITEM + pickle.NEWOBJ_EX
        ),
        "eval": lambda c: (
            b"cbuiltins\neval\n" + text(f"__import__('os').system({c!r})")
            + pickle.TUPLE1 + pickle.REDUCE
        ),
        "a name with dots": lambda c: (
            text("numpy") + text("f2py.os.system") + pickle.STACK_GLOBAL
            + text(c) + pickle.TUPLE1 + pickle.REDUCE
        ),
        "a name of torch's": lambda c: (
            b"ctorch\nos.system\n" + text(c) + pickle.TUPLE1 + pickle.REDUCE
        ),
        "torch.load": lambda c: b"ctorch\nload\n" + text(c) + pickle.TUPLE1 + pickle.REDUCE,
        "EXT1": lambda c: b"\x82\x01" + text(c) + pickle.TUPLE1 + pickle.REDUCE,
        "BUILD of an instance": lambda c: (
            ordered + pickle.EMPTY_TUPLE + pickle.REDUCE
            + pickle.EMPTY_DICT + text("__reduce__") + system + pickle.SETITEM + pickle.BUILD
        ),
        "BUILD of what it was given": lambda c: (
            ordered + pickle.NONE
            + pickle.EMPTY_DICT + text("__call__") + text(c) + pickle.SETITEM
            + pickle.TUPLE2 + pickle.BUILD + (pickle.EMPTY_TUPLE + pickle.REDUCE) * 2
        ),
        "a persistent id": lambda c: system + text(c) + pickle.TUPLE1 + pickle.REDUCE
        + pickle.BINPERSID,
        "a persistent id of its own": lambda c: b"P" + c.encode() + b"\n",
    }  # fmt: skip

    def nested(command: str) -> bytes:
        inner = pickle.PROTO + b"\x02" + touch["GLOBAL"](command) + pickle.STOP
        data = pickle.BINBYTES + struct.pack("<I", len(inner)) + inner
        return b"cpickle\nloads\n" + data + pickle.TUPLE1 + pickle.REDUCE

    return touch | {"a pickle within": nested}


def in_archive(content: bytes, entries: dict[str, bytes] | None = None, **how: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **how) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, data in (entries or {}).items():
            archive.writestr(name, data)
    return buffer.getvalue()


def refusal(read: Callable[[Path], Any], file: Path) -> str:
    """What is said of a file, which is one line that can be shown."""
    before = resident()
    with pytest.raises(InputError) as error:
        read(file)
    said = str(error.value)
    assert said.isprintable() and len(said) < 700 and str(file) in said
    assert resident() - before < MEMORY
    return said


def resident() -> int:
    """The largest memory that this process has taken so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("way", calls())
def test_nothing_is_called(
    way: str, read: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = calls()[way]("touch harm")
    in_dictionary = pickle.EMPTY_DICT + text("genA2B") + program + pickle.SETITEM
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    for i, body in enumerate((program, in_dictionary)):
        whole = pickle.PROTO + b"\x04" + body + pickle.STOP
        legacy = magic + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + whole + pickle.dumps([], 2)
        kinds = [whole, in_archive(whole)]
        if read is read_torch_file:  # of the other kind there is one pickle, and that is harmless
            kinds.append(legacy)
        for j, content in enumerate(kinds):
            file = tmp_path / f"{i}{j}.pt"
            file.write_bytes(content)
            refusal(read, file)
    assert not Path("harm").exists()


def test_the_corpus_would_do_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same bytes, those that need no class of Popen's are obeyed by pickle itself."""
    monkeypatch.chdir(tmp_path)
    for way in ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "eval", "a pickle within"):
        pickle.loads(pickle.PROTO + b"\x04" + calls()[way]("touch harm") + pickle.STOP)
        assert Path("harm").exists(), way
        Path("harm").unlink()


def test_what_it_is_refused_for_stays_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    name = "a\nerror: all is well\x1b[2J" + "b" * 10_000
    file.write_bytes(in_archive(text("os") + text(name) + pickle.STACK_GLOBAL + pickle.STOP))
    assert "it asks for os.a error: all is well\\x1b[2Jbbb" in refusal(read_torch_file, file)


def tensor(
    count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, key: str = "0"
) -> bytes:
    """The opcodes of a tensor, as `torch.save` writes them."""

    def plain(value: Any) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    storage = plain("storage") + b"ctorch\nFloatStorage\n" + plain(key) + plain("cpu")
    parts = pickle.MARK + storage + plain(count) + pickle.TUPLE + pickle.BINPERSID
    parts += plain(offset) + plain(shape) + plain(strides) + pickle.NEWFALSE + plain(None)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + pickle.MARK + parts + pickle.TUPLE + b"R"


def state_dict(*tensors: bytes) -> bytes:
    items = b"".join(text(f"t{i}") + x + pickle.SETITEM for i, x in enumerate(tensors))
    return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + items + pickle.STOP


def test_a_file_made_by_these_opcodes_is_read_by_pytorch_and_here(tmp_path: Path) -> None:
    import torch  # not above: it takes seconds

    file, values = tmp_path / "x.pt", np.arange(6, dtype="<f4")
    entries = {"archive/data/0": values.tobytes(), "archive/version": b"3\n"}
    file.write_bytes(in_archive(state_dict(tensor(6, (2, 2), (3, 1), 1)), entries))
    expected = torch.load(file)["t0"].numpy()
    assert expected.tolist() == [[1, 2], [4, 5]]
    np.testing.assert_array_equal(read_torch_file(file)["t0"], expected)


@functools.cache
def bombs() -> dict[str, tuple[bytes, str]]:
    """Files that take little on the disk, and what is said of each."""
    four = {"archive/data/0": bytes(16)}
    million = {"archive/data/0": bytes(4 * 10**6)}
    deep = b"".join(pickle.EMPTY_DICT + text("a") for _ in range(40))
    deep += pickle.NONE + pickle.SETITEM * 40
    doubled = pickle.EMPTY_DICT + b"".join(  # every dictionary holds the one before it twice
        pickle.BINPUT + bytes([i]) + pickle.POP + pickle.EMPTY_DICT + text("a") + pickle.BINGET
        + bytes([i]) + pickle.SETITEM + text("b") + pickle.BINGET + bytes([i]) + pickle.SETITEM
        for i in range(100)
    )  # fmt: skip
    within = pickle.EMPTY_DICT + b"q\x00" + text("a") + b"h\x00" + pickle.SETITEM
    zeros = bytes(2**22)
    return {
        "one value for many": (
            in_archive(state_dict(tensor(10**9, (10**9,), (1,))), {"archive/data/0": bytes(4)}),
            "larger than the file",
        ),
        "storage of another size": (
            in_archive(state_dict(tensor(3, (3,), (1,))), four), "has 16 bytes, expected 12",
        ),
        "no storage": (in_archive(state_dict(tensor(1, (1,), (1,)))), "no item named"),
        "negative count": (
            in_archive(state_dict(tensor(-1, (1,), (1,))), four), "no known kind or size",
        ),
        "outside": (
            in_archive(state_dict(tensor(4, (4,), (1,), 1)), four), "outside its storage",
        ),
        "before its storage": (
            in_archive(state_dict(tensor(4, (2,), (-1,), 3)), four), "outside its storage",
        ),
        "a value repeated": (
            in_archive(state_dict(tensor(4, (10**6, 10**6), (0, 0))), four), "larger than what",
        ),
        "a storage shared by many": (
            in_archive(state_dict(*[tensor(10**6, (10**6,), (1,))] * 99), million),
            "larger than what",
        ),
        "no shape": (
            in_archive(state_dict(tensor(4, ("4",), ("1",))), four),  # type: ignore[arg-type]
            "shape of other than whole numbers",
        ),
        "compressed pickle": (
            in_archive(text("x" * 10**6), compression=zipfile.ZIP_DEFLATED), "is compressed",
        ),
        "compressed storage": (
            in_archive(state_dict(tensor(2**20, (2**20,), (1,))), {"archive/data/0": zeros},
                       compression=zipfile.ZIP_DEFLATED),
            "compressed",
        ),
        "large memo": (
            in_archive(pickle.NONE + pickle.LONG_BINPUT + struct.pack("<I", 2**29) + pickle.STOP),
            "LONG_BINPUT 536870912 too early",
        ),
        "large buffer": (
            in_archive(pickle.BYTEARRAY8 + struct.pack("<Q", 2**34) + pickle.STOP), "",
        ),
        "long text": (
            in_archive(pickle.BINUNICODE8 + struct.pack("<Q", 2**40) + b"x" + pickle.STOP), "",
        ),
        "deep": (in_archive(deep + pickle.STOP), "16 deep and deeper"),
        "within itself": (in_archive(within + pickle.STOP), "16 deep and deeper"),
        "doubled": (in_archive(doubled + pickle.STOP), "16 deep and deeper"),
        "keys that are none": (
            in_archive(pickle.EMPTY_DICT + pickle.NONE + pickle.NONE + b"s."), "are no names",
        ),
        "no pickle": (in_archive(b"x"), ""),
        "no data.pkl": (zipped({"a/b": b""}), "archive without data.pkl"),
        "archive cut off": (in_archive(pickle.NONE + pickle.STOP)[:-30], ""),
        "empty": (b"", ""),
    }  # fmt: skip


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", bombs())
def test_a_small_file_stays_small(kind: str, tmp_path: Path) -> None:
    content, words = bombs()[kind]
    file = tmp_path / "x.pt"
    file.write_bytes(content)
    assert words in refusal(read_torch_file, file)


def test_nothing_is_unpacked_whatever_entries_are_called(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    entries = {f"{up}{name}": b"1" for up in ("../", "../../", "/", "") for name in ("x", "y.pth")}
    content = zipped({"../data.pkl": state_dict(tensor(1, (1,), (1,))), **entries,
                      "../data/0": bytes(4)})  # fmt: skip
    (folder / "x.pt").write_bytes(content)
    assert read_torch_file(folder / "x.pt")["t0"].tolist() == [0]
    assert [*tmp_path.rglob("*")] == [tmp_path / "a", folder, folder / "x.pt"]


def test_legacy_files_that_lie_about_their_storages(tmp_path: Path) -> None:
    import torch  # not above: it takes seconds

    file = tmp_path / "old.pt"
    torch.save({"w": torch.arange(4.0)}, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    assert read_torch_file(file)["w"].tolist() == [0, 1, 2, 3]
    position = len(whole) - 4 * 4 - 8
    assert struct.unpack_from("<q", whole, position) == (4,)
    for count in (-1, 0, 3, 2**62):
        file.write_bytes(whole[:position] + struct.pack("<q", count) + whole[position + 8 :])
        assert "has not the 4 values" in refusal(read_torch_file, file)
    file.write_bytes(whole[:-1])
    assert "has not the 4 values" in refusal(read_torch_file, file)


def test_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "zero.pt").symlink_to("/dev/zero")
    for read in READERS:
        for name in ("pipe.pt", "zero.pt"):
            assert "it is no regular file" in refusal(read, tmp_path / name)
        (tmp_path / "folder.pt").mkdir(exist_ok=True)
        assert "Is a directory" in refusal(read, tmp_path / "folder.pt")


def test_attributes_of_a_state_dict_are_passed_over(tmp_path: Path) -> None:
    """PyTorch's own have `_metadata`; others could take the place of methods."""
    import torch

    module = torch.nn.Conv2d(2, 3, 1)
    found = module.state_dict()
    assert found._metadata
    found.values = "none of them"
    torch.save(found, tmp_path / "x.pt")
    read = read_torch_file(tmp_path / "x.pt")
    assert type(read) is dict and read.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(read["weight"], module.weight.detach().numpy())
    assert isinstance(found, OrderedDict)


def test_arrays_that_are_no_numbers(tmp_path: Path) -> None:
    """What NumPy would believe: objects where numbers lie, fields beyond an array's end."""
    file = tmp_path / "x"
    fields = np.zeros(2, np.dtype({"names": ["a"], "formats": ["f4"], "offsets": [4]}))
    for array in (np.array([{}, "a"]), fields, np.array(["text"]), np.array([b"bytes"])):
        file.write_bytes(pickle.dumps({"a": array}, 4))
        assert "no pickle of NumPy arrays" in refusal(read_pickled_arrays, file)
    whole = pickle.dumps(np.arange(6.0), 4)
    shape = pickletools.optimize(whole).replace(b"K\x06\x85", b"K\x07\x85")
    assert shape != whole
    file.write_bytes(shape)
    assert "cannot reshape" in refusal(read_pickled_arrays, file)
    for order in ("<f8", ">f8", "<i2", ">u4"):
        array = np.arange(6).reshape(2, 3).astype(order)
        for each in (array, np.asfortranarray(array)):
            file.write_bytes(pickle.dumps(each, 4))
            np.testing.assert_array_equal(read_pickled_arrays(file), array)
