"""Where pictures come from: a folder, TensorFlow Datasets, or emoji that the project renders."""

import contextlib
import dataclasses
import difflib
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.console.errors import InputError, TransientError, in_a_line
from ugatit_jax.data import images
from ugatit_jax.data.storage import AnyPath, file_sizes, open_path

_LAYOUT = "a folder with trainA/ and trainB/, and testA/ and testB/ where there are test pictures"
_SOURCES = f"name {_LAYOUT}; or 'tfds:cycle_gan/horse2zebra'; or 'emoji'"
# The paper's, which `python -m ugatit_jax.data prepare` makes.
_PREPARED = ("selfie2anime", "horse2zebra", "photo2vangogh", "cat2dog", "photo2portrait")
_CYCLE_GAN_URL = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets"


SPLITS = ("train_a", "train_b", "test_a", "test_b")


@dataclass(frozen=True)
class Domain:
    """One split of one domain: a list of pictures, each a file or a file's bytes.

    `names` are relative paths with extension, fit to name what is made from a picture. `size`:
    (height, width) in px that pictures are scaled to cover and then cropped to; None: as they are.
    """

    names: list[str]
    sources: Sequence[AnyPath | bytes]
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def load(self, i: int) -> np.ndarray:
        """Picture `i`, uint8 [H, W, 3]. Raises `InputError` naming it, as `images.decode` does."""
        source = self.sources[i]
        name = self.names[i] if isinstance(source, bytes) else str(source)
        picture = images.decode(source, name)
        return picture if self.size is None else images.cover_resize(picture, self.size)

    def fingerprint(self) -> dict[str, Any]:
        """What tells this list of pictures from others: {'count', 'sha256' of names and sizes}."""
        digest = hashlib.sha256()
        of_files = iter(file_sizes([x for x in self.sources if not isinstance(x, bytes)]))
        for name, source in zip(self.names, self.sources, strict=True):
            size = len(source) if isinstance(source, bytes) else next(of_files)
            digest.update(f"{name}\0{size}\n".encode(errors="surrogateescape"))
        return {"count": len(self), "sha256": digest.hexdigest()}

    def take(self, indices: Iterable[int]) -> "Domain":
        """The pictures at these indices, in their order."""
        chosen = list(indices)
        return dataclasses.replace(
            self,
            names=[self.names[i] for i in chosen],
            sources=[self.sources[i] for i in chosen],
        )

    def held_out(self, share: float) -> tuple["Domain", "Domain"]:
        """These pictures without about a share of them, and that share.

        By their names without extension: of two domains, pairs stay together.
        """
        out = []
        for name in self.names:
            stem = PurePath(name).with_suffix("").as_posix()
            number = hashlib.sha256(stem.encode(errors="surrogateescape")).digest()[:4]
            out.append(int.from_bytes(number) < share * 2**32)
        kept, held = ([i for i, is_out in enumerate(out) if is_out == x] for x in (False, True))
        return self.take(kept), self.take(held)

    def first(self, count: int | None) -> "Domain":
        """The first `count` pictures; None: all of them."""
        return dataclasses.replace(self, names=self.names[:count], sources=self.sources[:count])


class Stream(NamedTuple):
    """What a stream of training pictures is made of.

    prepare: uint8 [h, w, 3] to the same, of a picture before it is cropped; None: nothing.
    """

    pictures: Domain
    prepare: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Dataset:
    """Two unpaired domains, A and B, for training and for testing.

    `paired_test`: pictures of one name in `test_a` and in `test_b` show the same thing.
    """

    train_a: Domain
    train_b: Domain
    test_a: Domain
    test_b: Domain
    paired_test: bool = False

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """What tells these pictures from others, {split: `Domain.fingerprint`}."""
        return {split: getattr(self, split).fingerprint() for split in SPLITS}


def open_dataset(data: ConfigDict) -> Dataset:
    """The data set that `data.source` names, downloaded or rendered first where need be.

    `data` is `config.data`. Raises `InputError` for a source that does not exist,
    cannot be had, or has no training pictures. Test domains may be empty.
    """
    cache_dir = find_cache_dir(data.cache_dir)
    if not data.source:
        raise InputError(f"config.data.source is empty: {_SOURCES}")
    if data.source == "emoji":
        from ugatit_jax.data import emoji  # only where it is asked for: it imports this module

        return dataclasses.replace(_open_folder(emoji.prepare(cache_dir)), paired_test=True)
    if data.source.startswith("tfds:"):
        return _open_tfds(data.source.removeprefix("tfds:"), cache_dir)
    return _open_folder(open_path(data.source).expanduser())


def _open_folder(folder: AnyPath) -> Dataset:
    if not folder.is_dir():
        made = f"; `python -m ugatit_jax.data prepare {folder.name} {folder}` makes it"
        hint = made if folder.name in _PREPARED else ""
        raise InputError(f"config.data.source: there is no folder {folder}: {_SOURCES}{hint}")

    def domain(split: str) -> Domain:
        root = folder / split
        files = images.list_images(root) if root.is_dir() else []
        if split.startswith("train") and not files:
            raise InputError(f"no pictures in {root}: config.data.source must name {_LAYOUT}")
        return Domain([file.relative_to(root).as_posix() for file in files], files)

    return Dataset(domain("trainA"), domain("trainB"), domain("testA"), domain("testB"))


def _open_tfds(name: str, data_dir: Path) -> Dataset:
    try:
        import tensorflow_datasets as tfds

        import ugatit_jax.data.host_tensorflow  # noqa: F401  before TFDS imports it

        known = [f"cycle_gan/{c.name}" for c in tfds.builder_cls("cycle_gan").BUILDER_CONFIGS]
    except ImportError as error:
        raise InputError(
            f"config.data.source 'tfds:{name}' needs TensorFlow Datasets ({error}): "
            'pip install "ugatit_jax[train]"'
        ) from error
    if name not in known:
        close = difflib.get_close_matches(name, known, cutoff=0.8) or known
        options = ", ".join(f"tfds:{option}" for option in close)
        raise InputError(f"config.data.source: there is no tfds:{name}; choose of {options}")

    builder = tfds.builder(name, data_dir=data_dir)
    if not builder.is_prepared():
        print(f"downloading {name} to {data_dir}", flush=True)
        try:
            _check_reachable(f"{_CYCLE_GAN_URL}/{builder.builder_config.name}.zip")
            builder.download_and_prepare()
        except Exception as error:
            raise InputError(
                f"cannot download 'tfds:{name}' to {data_dir} ({in_a_line(error)}): try again with "
                f"a network connection, or copy {data_dir}/{name} from a machine that has one"
            ) from error

    def domain(split: str) -> Domain:
        encoded = {"image": tfds.decode.SkipDecoding()}
        examples = builder.as_dataset(split=split, decoders=encoded).as_numpy_iterator()
        pictures = [example["image"] for example in examples]
        return Domain([f"{i:05}.jpg" for i in range(len(pictures))], pictures)

    return Dataset(domain("trainA"), domain("trainB"), domain("testA"), domain("testB"))


def _check_reachable(url: str) -> None:
    """Fail within seconds where TensorFlow Datasets would wait for the host without limit."""
    with contextlib.suppress(urllib.error.HTTPError):  # an answer, if only a refusal
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10).close()


Broken = dict[str, dict[str, str]]  # {split: {name of a picture: what is wrong with it}}


def find_broken(dataset: Dataset, index: int = 0, count: int = 1) -> Broken:
    """Decode every picture of every split, or share `index` of `count`, and tell the broken ones.

    Raises as `find_broken_in` does.
    """
    return find_broken_in({split: getattr(dataset, split) for split in SPLITS}, index, count)


def find_broken_in(domains: Mapping[str, Domain], index: int = 0, count: int = 1) -> Broken:
    """Decode every picture of some domains, or share `index` of `count`, and tell the broken ones.

    domains: by the names that they have in what is returned. What is not known to be broken is not
    told: raises `InputError` for a file that cannot be read, and `TransientError` for one that may
    be read later, at once.
    """
    jobs = [(name, i) for name, domain in domains.items() for i in range(len(domain))]
    jobs = jobs[index::count]

    def check(job: tuple[str, int]) -> InputError | None:
        try:
            domains[job[0]].load(job[1])
        except TransientError:
            raise
        except InputError as error:
            return error
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(check, jobs)
        errors = list(tqdm(results, "Checking pictures", len(jobs), disable=None))
    bad = {job: error for job, error in zip(jobs, errors, strict=True) if error is not None}
    if unread := [x for x in bad.values() if not isinstance(x, images.BrokenPicture)]:
        listed = "\n".join(dict.fromkeys(map(str, unread)))
        raise InputError(f"{len(unread)} files cannot be read, whatever is in them\n{listed}")
    broken: Broken = {}
    for (name, i), error in bad.items():
        broken.setdefault(name, {})[domains[name].names[i]] = str(error)
    return broken


def refuse_broken(domains: Mapping[str, Domain]) -> None:
    """Raise `InputError`, which names all of them, if pictures of some domains cannot be read."""
    errors = list(dict.fromkeys(errors_of(find_broken_in(domains))))
    if errors:
        listed = "\n".join(errors)
        raise InputError(f"{len(errors)} unreadable pictures: repair or remove them\n{listed}")


def errors_of(broken: Broken) -> list[str]:
    """Say what is wrong with each picture, in a line."""
    return [error for of_split in broken.values() for error in of_split.values()]


def leave_out(dataset: Dataset, broken: Broken, skip_bad: bool) -> Dataset:
    """Return the data set without its broken pictures.

    Raises `InputError` that lists all of them unless `skip_bad`, or if a training domain is left
    empty.
    """
    if not any(broken.values()):
        return dataset
    errors = errors_of(broken)
    report = "\n".join(errors)
    if not skip_bad:
        raise InputError(
            f"{len(errors)} unreadable pictures: repair or remove them, or leave them out with "
            f"--config.data.skip_bad=True\n{report}"
        )
    dropped = {split: set(broken.get(split, ())) for split in SPLITS}
    if dataset.paired_test:  # a picture's counterpart goes with it
        dropped["test_a"] = dropped["test_b"] = dropped["test_a"] | dropped["test_b"]
    train_a, train_b, test_a, test_b = (_without(getattr(dataset, s), dropped[s]) for s in SPLITS)
    if not (train_a and train_b):
        raise InputError(f"no readable pictures are left to train on; unreadable:\n{report}")
    return Dataset(train_a, train_b, test_a, test_b, dataset.paired_test)


def _without(domain: Domain, dropped: set[str]) -> Domain:
    return domain.take(i for i, name in enumerate(domain.names) if name not in dropped)
