"""Runs and pictures in a bucket: what works in a folder works there, and mistakes take one line."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bucket import Store
from ml_collections import ConfigDict
from test_datasets import scan

from ugatit_jax import evaluate, export, translate
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import datasets, images, storage
from ugatit_jax.interop import export_weights, import_weights
from ugatit_jax.runs import checkpoints, directory

ROOT = Path(__file__).parents[2]


def fill(bucket: Store, folder: Path, name: str) -> str:
    """Copy a folder into the bucket; returns its address there."""
    for file in folder.rglob("*"):
        if file.is_file():
            bucket.put("bucket", f"{name}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return f"gs://bucket/{name}"


def run_python(code: str, **env: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | env, text=True, capture_output=True, check=True
    ).stdout


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("size", [0, 300_000, 12_000_000])  # the last is sent in pieces
def test_a_file_comes_back_as_it_was_written(bucket: Store, tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    for root in (tmp_path, storage.open_path("gs://bucket/files")):
        path = root / "deep" / "er" / f"{size}"
        assert not path.exists()
        storage.write_atomically(path, "before")
        storage.write_atomically(path, content)
        assert path.is_file() and not path.is_dir() and path.parent.is_dir()
        assert path.read_bytes() == storage.read_bytes(path) == content
    assert bucket.objects["bucket", f"files/deep/er/{size}"][1] == content


def test_pictures_are_those_of_the_folder(
    bucket: Store, pictures: Path, tiny_config: Callable[[], ConfigDict], tmp_path: Path
) -> None:
    address = fill(bucket, pictures, "pictures")
    for name in ("trainA/.hidden/0.png", "trainA/notes.txt", "trainA/deep/er/Ä b#1?.PNG"):
        content = (pictures / "testA" / "0.png").read_bytes()
        bucket.put("bucket", f"pictures/{name}", content)
    data = tiny_config().data
    here = datasets.open_dataset(data)
    data.source = address
    there = scan(datasets.open_dataset(data), skip_bad=False)
    assert there.train_a.names == [*here.train_a.names, "deep/er/Ä b#1?.PNG"]
    assert there.test_b.names == here.test_b.names
    np.testing.assert_array_equal(there.train_a.load(9), here.test_a.load(0))
    for i in range(9):
        np.testing.assert_array_equal(there.train_a.load(i), here.train_a.load(i))


def test_pictures_are_told_from_others_by_their_sizes_without_a_request_for_each(
    bucket: Store, pictures: Path, tiny_config: Callable[[], ConfigDict]
) -> None:
    data = tiny_config().data
    here = datasets.open_dataset(data).fingerprints()
    data.source = fill(bucket, pictures, "told")
    there = datasets.open_dataset(data)
    before = len(bucket.requests)
    assert there.fingerprints() == here
    asked = bucket.requests[before:]
    assert len(asked) == len(datasets.SPLITS)  # none has more than a page holds
    assert len(there.train_a) == 9
    bucket.put("bucket", "told/trainA/3.png", (pictures / "trainA" / "3.png").read_bytes() + b"0")
    now = there.fingerprints()
    assert [split for split in now if now[split] != here[split]] == ["train_a"]


def test_mistakes_with_pictures(bucket: Store, tiny_config: Callable[[], ConfigDict]) -> None:
    bucket.put("bucket", "broken/trainA/0.png", b"no picture")
    bucket.put("bucket", "broken/trainB/0.png", b"no picture")
    data = tiny_config().data
    data.source = "gs://bucket/broken"
    with pytest.raises(InputError, match=r"cannot read gs://bucket/broken/trainA/0\.png: it is no"):
        scan(datasets.open_dataset(data), skip_bad=False)
    data.source = "gs://bucket/none"
    with pytest.raises(InputError, match="there is no folder gs://bucket/none: name a folder with"):
        datasets.open_dataset(data)
    data.cache_dir = "gs://bucket/cache"
    with pytest.raises(InputError, match="cache_dir is gs://bucket/cache; it must be a folder"):
        datasets.open_dataset(data)
    with pytest.raises(InputError, match=r"cannot read gs://bucket/none\.png: "):
        images.decode(storage.open_path("gs://bucket/none.png"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gs://bucket/pictures", "it holds a, b, and no folder checkpoints"),
        ("gs://bucket/nothing", "there is no such folder; gs://bucket holds the runs run"),
        (
            "gs://bucket/run/checkpoints/7",
            "a part of the run gs://bucket/run; give gs://bucket/run",
        ),
        ("gs://bucket", "it is a folder of runs; give one of them: run"),
    ],
)
def test_what_is_no_run(bucket: Store, name: str, words: str) -> None:
    bucket.objects.clear()
    for file in ("pictures/a/0.png", "pictures/b/0.png", "run/checkpoints/7/translating/_METADATA"):
        bucket.put("bucket", file, b"")
    with pytest.raises(InputError) as error:
        checkpoints.restore_weights(storage.open_path(name))
    assert f"no run in {name}: " in str(error.value) and words in str(error.value)


def test_a_half_written_checkpoint_is_none(bucket: Store) -> None:
    for step in (2, 4):
        bucket.put("bucket", f"half/checkpoints/{step}/_CHECKPOINT_METADATA", b"{}")
    bucket.put("bucket", "half/checkpoints/2/commit_success.txt", b"")
    assert directory.saved_steps(storage.open_path("gs://bucket/half")) == [2]


def test_a_bucket_that_one_may_not_write_to(
    bucket: Store, tiny_config: Callable[[], ConfigDict]
) -> None:
    bucket.buckets.add("read-only")
    bucket.read_only.add("read-only")
    workdir = storage.open_path("gs://read-only/run")
    with pytest.raises(InputError, match=r"cannot make the folder gs://read-only/run: .*another"):
        directory.prepare_run(workdir, tiny_config())


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (translate.main, ["run", "gs://bucket/a.png", "--out=x"]),
        (translate.main, ["run", "a.png", "--out=gs://bucket/x"]),
        (export.main, ["run", "--out=gs://bucket/x"]),
        (export_weights.main, ["run", "gs://bucket/x"]),
        (import_weights.main, ["gs://bucket/x.pt", "run"]),
    ],
)
def test_what_has_to_be_on_this_machine(
    capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    error = capsys.readouterr().err
    assert "is no folder or file of this machine" in error and error.count("\n") == 1


def test_a_bucket_that_is_not_there(bucket: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["gs://nobodys-bucket/run"])
    assert "there is no bucket gs://nobodys-bucket" in capsys.readouterr().err


def test_neither_tensorflow_nor_without_an_address_gcsfs_is_needed(bucket: Store) -> None:
    bucket.put("bucket", "file", b"content")
    code = """
import sys
sys.modules["tensorflow"] = None
from ugatit_jax.data import storage
assert not {"gcsfs", "google.cloud.storage"} & {*sys.modules}
print(storage.open_path("gs://bucket/file").read_text())
"""
    assert run_python(code) == "content\n"
    code = """
import sys
sys.modules["gcsfs"] = None
from ugatit_jax.data import storage
try:
    storage.open_path("gs://bucket/file")
except storage.InputError as error:
    print(error)
"""
    assert run_python(code) == "gs://bucket is read with gcsfs: pip install gcsfs\n"


@pytest.mark.parametrize("place", ["the file itself", "what is not finished"])
def test_nothing_is_written_where_a_link_leads(place: str, tmp_path: Path) -> None:
    """A folder that somebody else made may have links where files will be."""
    folder, outside = tmp_path / "run", tmp_path / "outside"
    outside.write_text("precious")
    storage.write_atomically(folder / "x.json", "1")
    name = "x.json"
    if place == "what is not finished":  # named after the file, so that anybody can tell
        name = f".{hashlib.sha256(b'x.json').hexdigest()[:16]}.unfinished"
    for make in (lambda path: path.symlink_to(outside), os.mkfifo):
        (folder / name).unlink(missing_ok=True)
        make(folder / name)
        storage.write_atomically(folder / "x.json", "2")
        assert outside.read_text() == "precious"
        assert (folder / "x.json").read_text() == "2" and not (folder / "x.json").is_symlink()
        assert [*folder.iterdir()] == [folder / "x.json"]
