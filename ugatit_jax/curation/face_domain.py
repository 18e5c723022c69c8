"""A domain of faces out of raw pictures: found, cut out alike, split, and each with its origin.

As U-GAT-IT made its anime faces out of 69,926 illustrations. Of photographs come trainA/ and
testA/, of drawings trainB/ and testB/, so that two calls with one folder make a data set.
"""

import csv
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import write_atomically
from ugatit_jax.faces.face import Detector, Face
from ugatit_jax.faces.framing import Framing, cut
from ugatit_jax.faces.kinds import open_detector

_LETTERS = {"photo": "A", "anime": "B"}
_ENLARGED = 2  # times, at most: what is smaller is refused
_OUTSIDE = 0.1  # of the square, at most: that is mirrored
_COLUMNS = ("picture", "source", "number", "dropped", "x", "y", "side", "score")
CUT_OUT = "faces cut out"


@dataclass(frozen=True)
class Recipe:
    """How a domain is made. size: of its pictures, px. test_share: of the sources, to test with."""

    kind: str
    size: int = 256
    seed: int = 0
    test_share: float = 0.03
    framing: Framing = dataclasses.field(default_factory=Framing)


@dataclass(frozen=True)
class _Cut:
    """A face that was found, or a source without one; dropped: why there is no picture of it."""

    face: Face | None
    dropped: str
    picture: np.ndarray | None = None


def make_face_domain(folder: Path, target: Path, recipe: Recipe) -> dict[str, int]:
    """Cut the faces out of all pictures of a folder; return how many, and how many dropped and why.

    What an earlier call did is not done again. target: the data set's folder. It also gets
    faces_A.csv or faces_B.csv, with a line for each face and for each source without one. Raises
    `InputError` for a folder without pictures, a missing detector, and a target that was made
    otherwise.
    """
    sources = images.list_images(folder.expanduser())
    if not sources:
        raise InputError(
            f"no pictures in {folder}: it needs {', '.join(sorted(images.EXTENSIONS))}"
        )
    if target.resolve().is_relative_to(folder.expanduser().resolve()):
        raise InputError(f"{target} is inside {folder}: give a folder outside of it")
    detect = open_detector(recipe.kind)
    letter = _LETTERS[recipe.kind]
    _check_recipe(target / f"faces_{letter}.json", folder, recipe)
    log = target / f"faces_{letter}.csv"
    rows = _read(log)
    done = {row["source"] for row in rows}
    counts = Counter(row["dropped"] or CUT_OUT for row in rows)
    todo = [Path(x) for x in sources if x.relative_to(folder.expanduser()).as_posix() not in done]
    if not log.exists():
        write_atomically(log, ",".join(_COLUMNS) + "\n")
    for source in tqdm(todo, "Looking for faces", disable=None):
        name = source.relative_to(folder.expanduser()).as_posix()
        split = f"{'test' if _is_test(name, recipe) else 'train'}{letter}"
        made = []
        for number, found in enumerate(_cuts(source, detect, recipe)):
            picture = ""
            if found.picture is not None:
                picture = f"{split}/{_name(name)}_{number}.png"
                write_atomically(target / picture, images.encode(found.picture, "png"))
            made.append(_row(picture, name, number, found))
            counts[found.dropped or CUT_OUT] += 1
        _append(log, made)
    return dict(counts)


def _cuts(source: Path, detect: Detector, recipe: Recipe) -> Iterator[_Cut]:
    """What becomes of a picture."""
    try:
        picture = images.decode(source)
    except images.BrokenPicture:
        yield _Cut(None, "cannot be read")
        return
    faces = detect(picture)
    if not faces:
        yield _Cut(None, "no face")
    for face in faces:
        square = recipe.framing.around(face)
        if square.side * _ENLARGED < recipe.size:
            yield _Cut(face, "too small")
        elif square.outside(picture) > _OUTSIDE:
            yield _Cut(face, "too near to the edge")
        else:
            yield _Cut(face, "", cut(picture, square, recipe.size))


def _is_test(name: str, recipe: Recipe) -> bool:
    """By the seed and the source's name: all faces of a picture go together."""
    number = hashlib.sha256(f"{recipe.seed}/{name}".encode(errors="surrogateescape")).digest()[:8]
    return int.from_bytes(number) < recipe.test_share * 2**64


def _name(source: str) -> str:
    """A name for a file that tells sources in different folders apart."""
    digest = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{Path(source).stem[:80]}_{digest}"


def _check_recipe(path: Path, folder: Path, recipe: Recipe) -> None:
    """Note how the domain is made, or raise `InputError` if it was begun otherwise."""
    now = {"folder": str(folder.expanduser().resolve()), **dataclasses.asdict(recipe)}
    if not path.exists():
        write_atomically(path, json.dumps(now, indent=1) + "\n")
        return
    try:
        before = read_object(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}): give another folder") from error
    if before != json.loads(json.dumps(now)):
        differing = [name for name in now if before.get(name) != now[name]]
        raise InputError(
            f"{path.parent} was begun otherwise ({', '.join(differing)}): give another folder, or "
            "the same command as then"
        )


def _read(log: Path) -> list[dict[str, str]]:
    """The rows of an earlier call; a torn last line is none, and its source is done again."""
    if not log.exists():
        return []
    content = log.read_bytes()
    if not content.endswith(b"\n"):
        write_atomically(log, content[: content.rfind(b"\n") + 1])
    with log.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [row for row in csv.DictReader(file) if row.get("score") is not None]


def _append(log: Path, rows: list[dict[str, str]]) -> None:
    """Write all rows of a source at once."""
    with log.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.DictWriter(file, _COLUMNS, lineterminator="\n").writerows(rows)


def _row(picture: str, name: str, number: int, found: _Cut) -> dict[str, str]:
    row = {"picture": picture, "source": name, "number": str(number), "dropped": found.dropped}
    for column in ("x", "y", "side", "score"):
        value = getattr(found.face, column) if found.face else None
        row[column] = "" if value is None else f"{value:.3f}"
    return row
