import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import datasets, images

COUNTS = {"trainA": 3, "trainB": 2, "testA": 1, "testB": 4}


def write(file: Path, shade: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, count in COUNTS.items():
        for i in range(count):
            write(tmp_path / "set" / split / f"{i}.png", 10 * i)
    return tmp_path / "set"


def config(source: object, cache_dir: object = "") -> ConfigDict:
    return ConfigDict({"source": str(source), "cache_dir": str(cache_dir)})


def sizes(dataset: datasets.Dataset) -> list[int]:
    domains = (dataset.train_a, dataset.train_b, dataset.test_a, dataset.test_b)
    return [len(domain) for domain in domains]


def test_folder_has_its_pictures_in_order(folder: Path) -> None:
    write(folder / "trainA" / "more" / "0.png", 200)
    dataset = datasets.open_dataset(config(folder))
    assert sizes(dataset) == [4, 2, 1, 4] and not dataset.paired_test
    assert dataset.train_a.names == ["0.png", "1.png", "2.png", "more/0.png"]
    assert [dataset.train_a.load(i)[0, 0, 0] for i in range(4)] == [0, 10, 20, 200]


def test_a_domain_can_be_shortened_and_given_a_size(folder: Path) -> None:
    domain = datasets.open_dataset(config(folder)).train_a
    assert domain.first(1).names == domain.names[:1] and len(domain.first(None)) == len(domain)
    small = dataclasses.replace(domain, size=(4, 6))
    last = small.take([2, 0])
    assert last.names == ["2.png", "0.png"] and last.load(0)[0, 0].tolist() == [20, 0, 0]
    assert last.load(1).shape == (4, 6, 3)
    expected = images.cover_resize(domain.load(0), (4, 6))
    np.testing.assert_array_equal(small.first(1).load(0), expected)
    assert expected.shape == (4, 6, 3) != domain.load(0).shape


def test_test_pictures_are_optional(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "a.png", 1)
    write(tmp_path / "trainB" / "b.png", 1)
    (tmp_path / "testB").mkdir()
    assert sizes(datasets.open_dataset(config(tmp_path))) == [1, 1, 0, 0]


def test_training_pictures_are_not(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "a.png", 1)
    with pytest.raises(InputError, match=r"no pictures in \S*trainB: .* trainA/ and trainB/"):
        datasets.open_dataset(config(tmp_path))


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("", "config.data.source is empty: name a folder with trainA/"),
        ("data/mine", "no folder data/mine: name a folder with trainA/"),
        ("data/selfie2anime", "ugatit_jax.data prepare selfie2anime data/selfie2anime"),
        ("data/horse2zebra", "tfds:cycle_gan/horse2zebra"),
        ("data/photo2vangogh", "ugatit_jax.data prepare photo2vangogh data/photo2vangogh"),
        ("data/cat2dog", "ugatit_jax.data prepare cat2dog data/cat2dog"),
        ("data/photo2portrait", "ugatit_jax.data prepare photo2portrait data/photo2portrait"),
    ],
)
def test_missing_source_says_what_would_do(source: str, hint: str) -> None:
    with pytest.raises(InputError) as raised:
        datasets.open_dataset(config(source))
    assert hint in str(raised.value) and "\n" not in str(raised.value)


def test_cache_dir_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert datasets.find_cache_dir() == Path("/x/ugatit_jax")
    assert datasets.find_cache_dir("/y") == Path("/y")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert datasets.find_cache_dir() == Path.home() / ".cache" / "ugatit_jax"


def scan(dataset: datasets.Dataset, skip_bad: bool) -> datasets.Dataset:
    return datasets.leave_out(dataset, datasets.find_broken(dataset), skip_bad)


def test_scan_passes_a_good_set(folder: Path) -> None:
    dataset = datasets.open_dataset(config(folder))
    assert scan(dataset, skip_bad=False) == dataset


def test_scan_names_every_bad_file(folder: Path) -> None:
    (folder / "trainA" / "0.png").write_text("not a picture")
    (folder / "testB" / "3.png").write_bytes(b"")
    dataset = datasets.open_dataset(config(folder))
    with pytest.raises(InputError) as raised:
        scan(dataset, skip_bad=False)
    head, *files = str(raised.value).splitlines()
    assert head.startswith("2 unreadable") and "--config.data.skip_bad=True" in head
    assert [str(folder / "trainA/0.png") in files[0], str(folder / "testB/3.png") in files[1]]
    assert len(files) == 2


def test_scan_leaves_bad_files_out(folder: Path) -> None:
    (folder / "trainA" / "1.png").write_text("not a picture")
    cleaned = scan(datasets.open_dataset(config(folder)), skip_bad=True)
    assert sizes(cleaned) == [2, 2, 1, 4]
    assert cleaned.train_a.names == ["0.png", "2.png"]
    assert cleaned.train_a.load(1)[0, 0, 0] == 20


def test_scan_keeps_pairs_together(folder: Path) -> None:
    for i in range(4):
        write(folder / "testA" / f"{i}.png", i)
    (folder / "testB" / "2.png").write_text("not a picture")
    dataset = dataclasses.replace(datasets.open_dataset(config(folder)), paired_test=True)
    cleaned = scan(dataset, skip_bad=True)
    assert cleaned.paired_test
    assert cleaned.test_a.names == cleaned.test_b.names == ["0.png", "1.png", "3.png"]


def test_scan_tells_pairs_by_their_names(folder: Path) -> None:
    for name in ("0", "2", "3"):  # without 1, after which nothing is in the place of its pair
        write(folder / "testA" / f"{name}.png", 0)
    (folder / "testB" / "2.png").write_text("not a picture")
    dataset = dataclasses.replace(datasets.open_dataset(config(folder)), paired_test=True)
    cleaned = scan(dataset, skip_bad=True)
    assert cleaned.test_a.names == ["0.png", "3.png"]
    assert cleaned.test_b.names == ["0.png", "1.png", "3.png"]


def test_scan_needs_something_to_train_on(folder: Path) -> None:
    for file in (folder / "trainB").iterdir():
        file.write_text("not a picture")
    with pytest.raises(InputError, match="no readable pictures are left"):
        scan(datasets.open_dataset(config(folder)), skip_bad=True)


def test_tfds_is_downloaded_once_and_decoded_like_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorflow_datasets.image_classification import cycle_gan

    archive = tmp_path / "maps.zip"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    with zipfile.ZipFile(archive, "w") as writer:
        for split, count in COUNTS.items():
            for i in range(count):
                writer.writestr(f"maps/{split}/{i}.png", picture.getvalue())
    monkeypatch.setattr(datasets, "_CYCLE_GAN_URL", tmp_path.as_uri())
    monkeypatch.setitem(cycle_gan._DL_URLS, "maps", archive.as_uri())

    data = config("tfds:cycle_gan/maps", tmp_path / "cache")
    datasets.open_dataset(data)
    archive.unlink()
    dataset = datasets.open_dataset(data)
    assert sizes(dataset) == list(COUNTS.values())
    assert dataset.train_a.names == ["00000.jpg", "00001.jpg", "00002.jpg"]
    np.testing.assert_array_equal(dataset.train_a.load(2), pixels)


def test_tfds_without_network_fails_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_CYCLE_GAN_URL", "http://localhost:9")
    with pytest.raises(InputError, match=r"cannot download 'tfds:cycle_gan/horse2zebra' to"):
        datasets.open_dataset(config("tfds:cycle_gan/horse2zebra", tmp_path))


@pytest.mark.parametrize(
    ("name", "options"), [("cycle_gan/horse2zebr", 2), ("mnist", 10), ("", 10)]
)
def test_unknown_tfds_name_gets_suggestions(name: str, options: int) -> None:
    with pytest.raises(InputError, match=f"there is no tfds:{name};") as raised:
        datasets.open_dataset(config(f"tfds:{name}"))
    assert str(raised.value).count("tfds:cycle_gan/") == options
    assert "tfds:cycle_gan/horse2zebra" in str(raised.value)


def test_a_share_is_held_out_by_name_so_that_pairs_stay_together() -> None:
    names = [f"{i}.png" for i in range(400)]
    domain = datasets.Domain(names, [b""] * 400)
    kept, held = domain.held_out(0.25)
    assert sorted(kept.names + held.names) == sorted(names) and 70 < len(held) < 130
    other = datasets.Domain([name.replace("png", "jpg") for name in reversed(names)], [b""] * 400)
    assert {n[:-4] for n in other.held_out(0.25)[1].names} == {n[:-4] for n in held.names}
    assert domain.held_out(0.0)[0] == domain
