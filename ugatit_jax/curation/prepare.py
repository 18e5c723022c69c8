"""Make one of the paper's data sets: download it, or arrange what the user has, and count."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.console.errors import InputError
from ugatit_jax.curation.archive import extract_pictures
from ugatit_jax.curation.catalogue import SETS, PublicSet, Side
from ugatit_jax.curation.cleaned import check_target, place
from ugatit_jax.curation.download import download
from ugatit_jax.data import images

ABOUT = "about.json"  # what a prepared folder is, and where it comes from


@dataclass(frozen=True)
class _Domain:
    """Pictures of a domain, paths; test is None where they are not split."""

    train: Sequence[Path]
    test: Sequence[Path] | None = None

    @property
    def total(self) -> int:
        return len(self.train) + len(self.test or ())


def prepare(
    name: str,
    target: Path,
    source: Path | None = None,
    cache_dir: str = "",
    unverified: bool = False,
) -> dict[str, int]:
    """Write a data set's trainA/, trainB/, testA/ and testB/; return how many pictures each has.

    source: a folder or an archive that has them; None: it is downloaded to the cache first.
    unverified: take it whatever is in it. Raises `InputError` for what cannot be had, has other
    pictures than the paper's, or a target that is not empty.
    """
    if name not in SETS:
        raise InputError(f"no data set {name!r}: choose one of {', '.join(SETS)}")
    check_target(target, *([source] if source and source.is_dir() else []))
    if source is not None and not source.exists():
        raise InputError(f"there is no {source}: --from takes a folder or an archive of pictures")
    known = SETS[name]
    about = {"name": name, "origin": known.origin, "from": str(source or known.archive.file)}
    if source is None:
        source = download(known.archive, find_cache_dir(cache_dir) / "downloads")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=target.parent) as scratch:
        if not source.is_dir():
            extract_pictures(source, Path(scratch) / "unpacked")
            source = Path(scratch) / "unpacked"
        splits = _splits(name, known, source, unverified)
        counts = {split: len(files) for split, (_, files) in splits.items()}
        made = Path(scratch) / "made"
        for split, (root, files) in splits.items():
            for file in files:
                place(file, made / split / file.relative_to(root))
        text = json.dumps(about | {"pictures": counts}, indent=1)
        (made / ABOUT).write_text(text + "\n", encoding="utf-8")
        if target.exists():
            target.rmdir()
        made.rename(target)
    return counts


Splits = dict[str, tuple[Path, Sequence[Path]]]


def _splits(name: str, known: PublicSet, source: Path, unverified: bool) -> Splits:
    """Which pictures go where, with the folders that their paths are kept from."""
    roots, (first, second) = _domains(source)
    if not unverified and not (_fits(first, known.a) and _fits(second, known.b)):
        # Others name them the other way round: vangogh2photo.
        first, second, roots = second, first, roots[::-1]
        if not (_fits(first, known.a) and _fits(second, known.b)):
            raise InputError(_misfit(name, known, second, first))
    splits: Splits = {}
    sides = zip("AB", roots, (first, second), (known.a, known.b), strict=True)
    for letter, (train_root, test_root), domain, side in sides:
        train, test = domain.train, domain.test
        if test is None:
            train, test = split_by_name(train, train_root, side.test)
        splits[f"train{letter}"] = (train_root, train)
        splits[f"test{letter}"] = (test_root, test)
    return splits


def _domains(source: Path) -> tuple[list[tuple[Path, Path]], list[_Domain]]:
    """Both domains of a folder, in trainA/ and so on or in two folders, at any depth.

    With each the folders of its pictures to train on and to test with.
    """
    folders = [source, *sorted(path for path in source.rglob("*") if path.is_dir())]
    for folder in folders:
        if all((folder / split).is_dir() for split in ("trainA", "trainB")):
            roots = [(folder / f"train{x}", folder / f"test{x}") for x in "AB"]
            return roots, [
                _Domain(*(images.list_images(x) if x.is_dir() else [] for x in pair))
                for pair in roots
            ]
    for folder in folders:
        inside = [x for x in sorted(folder.iterdir()) if x.is_dir() and images.list_images(x)]
        if len(inside) == 2:
            return [(x, x) for x in inside], [_Domain(images.list_images(x)) for x in inside]
    raise InputError(
        f"no two domains in {source}: it needs trainA/ and trainB/, or two folders of pictures"
    )


def split_by_name(files: Sequence[Path], root: Path, count: int) -> tuple[list[Path], list[Path]]:
    """Take so many pictures out to test with: those whose names have the smallest SHA-256.

    Without a seed, and whatever else is there, a picture is one of the first to be taken or of the
    last. No more than half of them are.
    """

    def number(file: Path) -> bytes:
        name = file.relative_to(root).as_posix()
        return hashlib.sha256(name.encode(errors="surrogateescape")).digest()

    test = set(sorted(files, key=number)[: min(count, len(files) // 2)])
    return [file for file in files if file not in test], [file for file in files if file in test]


def _fits(domain: _Domain, side: Side) -> bool:
    if domain.test is None or not side.split_is_known:
        return domain.total == side.total
    return (len(domain.train), len(domain.test)) == (side.train, side.test)


def _misfit(name: str, known: PublicSet, first: _Domain, second: _Domain) -> str:
    there = " and ".join(
        f"{len(x.train):,}" if x.test is None else f"{len(x.train):,} + {len(x.test):,}"
        for x in (first, second)
    )
    wanted = " and ".join(
        f"{x.train:,} + {x.test:,} {x.what}" if x.split_is_known else f"{x.total:,} {x.what}"
        for x in (known.a, known.b)
    )
    return (
        f"these are not the pictures of {name}: {there} where there should be {wanted}; "
        "--unverified takes them all the same"
    )
