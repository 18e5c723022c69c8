"""What made the pictures in a folder of translations: translated.jsonl, a line for each of them.

A line is written before its picture, so that one without a line is none of ours; of several lines
for a picture the last one holds.
"""

import dataclasses
import hashlib
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.json_file import parse_json
from ugatit_jax.data.storage import first_line, read_bytes

FILE = "translated.jsonl"


@dataclass(frozen=True)
class Made:
    """How a picture was made. `weights`: their checksum, which a run's name and step only hint at.

    `source_bytes`: the size of the file that was translated, which tells it from most others of its
    name. `style`: by what seed it was drawn, or of what picture; "" for a method without styles.
    `shifts`: along each side, that were averaged.
    """

    run: str
    step: int
    weights: str
    direction: str
    fit: str
    format: str
    source_bytes: int = 0
    style: str = ""
    shifts: int = 1

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Made":
        """Return what a line holds. Raises `TypeError` or `ValueError` for anything else."""
        made = cls(**fields)
        for field in dataclasses.fields(made):
            if type(getattr(made, field.name)) is not field.type:
                raise TypeError(f"{field.name} is of another type")
        if not re.fullmatch(r"\w{1,9}", made.format):  # it ends the names of files
            raise ValueError(f"no format {made.format!r}")
        return made

    def differences(self, now: "Made") -> list[str]:
        """Say in what this differs from what would be made now; nothing if they are alike."""
        found = []
        for name in ("direction", "fit", "format", "source_bytes", "style", "shifts"):
            then, today = (getattr(x, name) for x in (self, now))
            if then != today:
                found.append(f"{name.replace('_', ' ')} {then or 'none'}, now {today or 'none'}")
        if self.weights != now.weights:
            of, of_now = (f"{x.run}, step {x.step:,}, weights {x.weights}" for x in (self, now))
            found.insert(0, f"{of}, now {of_now}")
        return found


class Record:
    """The lines of a folder; threads may add to it."""

    def __init__(self, folder: Path) -> None:
        """Read what there is. Lines that are none, as of a full disk, are passed over.

        Raises `InputError` for a file that cannot be read.
        """
        self.folder = folder
        self._file, self._lock = folder / FILE, threading.Lock()
        self._made: dict[str, Made] = {}
        self._is_torn = False
        if self._file.exists():
            try:
                text = read_bytes(self._file).decode("utf-8", "replace")
            except OSError as error:
                raise InputError(f"cannot read {self._file}: {first_line(error)}") from None
            self._is_torn = not text.endswith("\n")
            for line in text.splitlines():
                try:
                    fields = parse_json(line)
                    picture = _key(fields.pop("picture"))
                    self._made[picture] = Made.from_json(fields)
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue

    def of(self, picture: PurePath) -> Made | None:
        """How the picture of this path from the folder was made, whatever format it has."""
        return self._made.get(_key(picture))

    def add(self, picture: PurePath, made: Made) -> None:
        """Note how a picture is about to be made. Raises `OSError` if that cannot be written."""
        line = json.dumps({"picture": picture.as_posix()} | dataclasses.asdict(made)) + "\n"
        with self._lock, self._file.open("a", encoding="utf-8") as file:
            file.write("\n" + line if self._is_torn else line)
            self._is_torn, self._made[_key(picture)] = False, made


def _key(picture: str | PurePath) -> str:
    return PurePath(picture).with_suffix("").as_posix()


def checksum(params: Any) -> str:
    """The first 16 digits of the SHA-256 of parameters, of their names and their values."""
    import jax  # not above: files are looked for before it is imported

    digest = hashlib.sha256()
    for path, value in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:16]
