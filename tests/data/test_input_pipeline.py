import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.config import fields
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import datasets, images
from ugatit_jax.data.input_pipeline import train_batches

# Unequal lengths; picture i of a domain is one flat shade, so that a batch tells its indices.
COUNTS = {"trainA": 7, "trainB": 5}
Batch = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    folder = tmp_path_factory.mktemp("flat")
    for split, count in COUNTS.items():
        (folder / split).mkdir()
        for i in range(count):
            Image.new("RGB", (12, 12), (i, i, i)).save(folder / split / f"{i}.png")
    return datasets.open_dataset(ConfigDict({"source": str(folder), "cache_dir": ""}))


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    """Pixel (y, x) is (10 y, 10 x, 0): a crop tells where it was taken from, and if mirrored."""
    y, x = np.mgrid[:12, :12]
    pixels = np.stack([10 * y, 10 * x, 0 * x], -1).astype(np.uint8)
    folder = tmp_path_factory.mktemp("ramp")
    for split in COUNTS:
        (folder / split).mkdir()
        Image.fromarray(pixels).save(folder / split / "0.png")
    return datasets.open_dataset(ConfigDict({"source": str(folder), "cache_dir": ""}))


def flat_folder(dataset: datasets.Dataset) -> str:
    file = dataset.train_a.sources[0]
    assert isinstance(file, Path)
    return str(file.parents[1])


def config(batch_size: int = 2, **data: object) -> ConfigDict:
    values = fields.get_config()
    values.train.batch_size = batch_size
    values.data.image_size = (8, 8)
    values.data.load_scale = 1.5
    values.data.update(data)
    return values


def take(batches: Iterator[Batch], count: int) -> Batch:
    """The next `count` batches, joined."""
    taken = list(itertools.islice(batches, count))
    return {key: np.concatenate([batch[key] for batch in taken]) for key in ("a", "b")}


def batches_of(dataset: datasets.Dataset, config: ConfigDict, *where: int) -> Iterator[Batch]:
    """The batches of a training; where: start_step, process_index, process_count."""
    streams = {"a": datasets.Stream(dataset.train_a), "b": datasets.Stream(dataset.train_b)}
    return train_batches(streams, config.data, config.seed, config.train.batch_size, *where)


def shades(pictures: np.ndarray) -> list[int]:
    return pictures[:, 0, 0, 0].tolist()


def assert_same(left: Batch, right: Batch) -> None:
    for key in ("a", "b"):
        np.testing.assert_array_equal(left[key], right[key])


def test_every_pass_through_a_domain_is_a_permutation_of_its_own(flat: datasets.Dataset) -> None:
    stream = take(batches_of(flat, config()), 35)
    for key, count in (("a", 7), ("b", 5)):
        passes = np.reshape(shades(stream[key]), (-1, count))
        np.testing.assert_array_equal(np.sort(passes), np.broadcast_to(range(count), passes.shape))
        assert len({tuple(order) for order in passes.tolist()}) > len(passes) // 2


def test_seed_decides(ramp: datasets.Dataset, flat: datasets.Dataset) -> None:
    other = config()
    other.seed = 1
    for dataset in (ramp, flat):
        first = take(batches_of(dataset, config()), 10)
        assert_same(first, take(batches_of(dataset, config()), 10))
        second = take(batches_of(dataset, other), 10)
        assert (first["a"] != second["a"]).any() and (first["b"] != second["b"]).any()


@pytest.mark.parametrize("start", [1, 6, 1_000_003])
def test_restart_continues_the_stream(ramp: datasets.Dataset, start: int) -> None:
    whole = batches_of(ramp, config(), start - 1)
    next(whole)
    assert_same(take(whole, 5), take(batches_of(ramp, config(), start), 5))


def test_shares_of_processes_make_up_the_batch(flat: datasets.Dataset) -> None:
    whole = batches_of(flat, config(batch_size=6), 3)
    shares = [batches_of(flat, config(batch_size=6), 3, i, 2) for i in range(2)]
    for _ in range(5):
        parts = [next(share) for share in shares]
        assert parts[0]["a"].shape == (3, 8, 8, 3)
        joined = {key: np.concatenate([part[key] for part in parts]) for key in ("a", "b")}
        assert_same(next(whole), joined)


def test_uneven_shares_are_refused(flat: datasets.Dataset) -> None:
    with pytest.raises(InputError, match="batch_size is 3, which 2 processes"):
        batches_of(flat, config(batch_size=3), 0, 0, 2)


def test_cache_changes_nothing_and_says_so(
    ramp: datasets.Dataset, flat: datasets.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    for dataset in (ramp, flat):
        kept = take(batches_of(dataset, config(cache_gib=1.0)), 20)
        assert_same(kept, take(batches_of(dataset, config(cache_gib=0.0)), 20))
    said = capsys.readouterr().out.splitlines()
    assert ["not kept" in line for line in said] == [False, True] * 2


def test_half_are_flipped_and_crops_reach_everywhere(ramp: datasets.Dataset) -> None:
    pictures = take(batches_of(ramp, config(batch_size=400)), 1)["a"].astype(int)
    flipped = pictures[:, 0, 0, 1] > pictures[:, 0, 1, 1]
    assert 160 < flipped.sum() < 240  # four standard deviations
    tops = pictures[:, 0, 0, 0] // 10
    lefts = pictures[..., 1].min((1, 2)) // 10
    for offsets in (tops, lefts):
        assert (np.bincount(offsets, minlength=5) > 45).all() and offsets.max() == 4
    assert abs(np.corrcoef([flipped, tops, lefts])[np.triu_indices(3, 1)]).max() < 0.2
    assert (np.diff(pictures[..., 0], axis=1) == 10).all()


def test_domains_are_augmented_apart(ramp: datasets.Dataset) -> None:
    batch = take(batches_of(ramp, config()), 20)
    same = (batch["a"] == batch["b"]).all((1, 2, 3))
    assert same.mean() < 0.25


def test_without_augmentation_pictures_are_what_inference_sees(ramp: datasets.Dataset) -> None:
    plain = config(flip=False, load_scale=1.0, image_size=(8, 16))
    expected = images.cover_resize(ramp.train_a.load(0), (8, 16))
    batch = next(batches_of(ramp, plain))
    assert batch["a"].dtype == np.uint8
    np.testing.assert_array_equal(batch["a"], [expected, expected])


def test_rectangles_and_the_mean_shade(flat: datasets.Dataset) -> None:
    stream = take(batches_of(flat, config(image_size=(4, 16))), 35)
    assert stream["a"].shape == (70, 4, 16, 3)
    assert stream["a"].mean() == np.mean(range(7)) and stream["b"].mean() == np.mean(range(5))


def test_a_program_that_stops_amid_the_stream_ends(flat: datasets.Dataset) -> None:
    program = f"""
from ugatit_jax.config.fields import get_config
from ugatit_jax.data import datasets, input_pipeline
config = get_config()
config.data.source = {flat_folder(flat)!r}
config.data.cache_gib = 0.0
dataset = datasets.open_dataset(config.data)
streams = {{"a": datasets.Stream(dataset.train_a), "b": datasets.Stream(dataset.train_b)}}
batches = input_pipeline.train_batches(streams, config.data, config.seed, 1)
print(next(batches)["a"].shape)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.endswith("\n(1, 256, 256, 3)\n") and "Exception" not in done.stderr


def test_picture_that_vanishes_is_named(flat: datasets.Dataset, tmp_path: Path) -> None:
    gone = datasets.Domain(["gone.png"], [tmp_path / "gone.png"])
    broken = datasets.Dataset(flat.train_a, gone, flat.test_a, flat.test_b)
    with pytest.raises(InputError, match=r"gone\.png: No such file"):
        next(batches_of(broken, config()))


def test_streams_are_prepared_and_shuffled_each_in_its_own_way(flat: datasets.Dataset) -> None:
    domain = flat.train_a
    streams = {
        "a": datasets.Stream(domain),
        "b": datasets.Stream(domain),
        "brightened": datasets.Stream(domain, lambda picture: 100 + picture),
    }
    data = config().data
    taken = list(itertools.islice(train_batches(streams, data, 0, 7), 10))
    orders = {name: [shades(batch[name]) for batch in taken] for name in streams}
    assert [sorted(order) for order in orders["brightened"]] == [[*range(100, 107)]] * 10
    plain = [[shade - 100 for shade in order] for order in orders["brightened"]]
    for left, right in ((orders["a"], orders["b"]), (orders["a"], plain), (orders["b"], plain)):
        assert sum(x == y for x, y in zip(left, right, strict=True)) < 5
    alone = train_batches({"a": streams["a"]}, data, 0, 7)
    assert [shades(next(alone)["a"]) for _ in range(10)] == orders["a"]
