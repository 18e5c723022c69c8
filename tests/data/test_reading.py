"""Reading from a disk or bucket that fails, for a while or for good."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import gcsfs.retry
import google.auth.exceptions
import pytest
import requests
from ml_collections import ConfigDict
from PIL import Image
from test_datasets import scan

from ugatit_jax.console.errors import InputError, TransientError
from ugatit_jax.data import datasets, reading


class Disk:
    """Reads files, but for those that fail, {name: so many errors before it works again}."""

    def __init__(self) -> None:
        self.failures: dict[str, list[Exception]] = {}
        self.reads: list[str] = []
        self.slept: list[float] = []

    def read(self, path: Path) -> bytes:
        self.reads.append(path.name)
        if waiting := self.failures.get(path.name):
            raise waiting.pop(0)
        return path.read_bytes()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(reading, "read_bytes", disk.read)
    monkeypatch.setattr(reading.time, "sleep", disk.slept.append)
    return disk


def io_error() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_fails_for_a_while_is_read_again(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    disk.failures["a"] = [TimeoutError("timed out"), ConnectionResetError(), io_error()]
    assert reading.read_file(tmp_path / "a") == b"content"
    assert disk.slept == [0.5, 1, 2]


def test_what_goes_on_failing_may_do_later(disk: Disk, tmp_path: Path) -> None:
    disk.failures["a"] = [io_error() for _ in range(9)]
    with pytest.raises(TransientError, match=r"a: Input/output error, 4 times .* may do later$"):
        reading.read_file(tmp_path / "a")
    assert disk.reads == ["a"] * 4


def test_what_is_not_there_is_not_tried_again(disk: Disk, tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=why) as error:
            reading.read_file(path)
        assert not isinstance(error.value, TransientError)
    assert len(disk.reads) == 2 and not disk.slept


def answer(status: int) -> Exception:
    """What gcsfs makes of an HTTP status."""
    with pytest.raises(Exception) as error:
        gcsfs.retry.validate_response(status, b"", "b/bucket/o/name")
    return error.value


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        *((lambda s=status: answer(s), True) for status in (401, 408, 429, 500, 502, 503)),
        *((lambda s=status: answer(s), False) for status in (400, 403, 404)),
        (lambda: gcsfs.retry.ChecksumError(), True),
        (lambda: aiohttp.ServerDisconnectedError(), True),
        (lambda: requests.ConnectionError(), True),
        (lambda: google.auth.exceptions.TransportError(retryable=True), True),
        (lambda: google.auth.exceptions.DefaultCredentialsError(), False),
        (lambda: OSError(errno.ESTALE, "Stale file handle"), True),
        (lambda: OSError(errno.ENAMETOOLONG, "File name too long"), False),
        (lambda: PermissionError(), False),
        (lambda: ValueError("of a bug"), False),
    ],
)
def test_kinds_of_errors(error: Callable[[], Exception], transient: bool) -> None:
    assert reading.is_transient(error()) == transient


@pytest.fixture
def dataset(tmp_path: Path) -> datasets.Dataset:
    for split in ("trainA", "trainB"):
        (tmp_path / split).mkdir()
        for i in range(3):
            Image.new("RGB", (8, 6)).save(tmp_path / split / f"{split[-1]}{i}.png")
    (tmp_path / "trainB" / "B0.png").write_bytes(b"no picture")
    return datasets.open_dataset(ConfigDict({"source": str(tmp_path), "cache_dir": ""}))


def test_a_good_picture_is_not_left_out_for_a_failure_of_the_disk(
    disk: Disk, dataset: datasets.Dataset
) -> None:
    disk.failures["A1.png"] = [TimeoutError("timed out")]
    cleaned = scan(dataset, skip_bad=True)
    assert cleaned.train_a.names == ["A0.png", "A1.png", "A2.png"]
    assert cleaned.train_b.names == ["B1.png", "B2.png"]
    disk.failures["A1.png"] = [TimeoutError("timed out") for _ in range(4)]
    for skip_bad in (True, False):
        disk.failures["A1.png"] = [TimeoutError("timed out") for _ in range(4)]
        with pytest.raises(TransientError, match=r"A1\.png: timed out, 4 times"):
            scan(dataset, skip_bad=skip_bad)


def test_only_what_was_read_can_be_broken(disk: Disk, dataset: datasets.Dataset) -> None:
    disk.failures["A1.png"] = [PermissionError(errno.EACCES, os.strerror(errno.EACCES))]
    with pytest.raises(InputError, match="1 files cannot be read, whatever is in them") as error:
        scan(dataset, skip_bad=True)
    assert "A1.png: Permission denied" in str(error.value)
    assert "B0.png" not in str(error.value)
