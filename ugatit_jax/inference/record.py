"""What made the pictures in a folder of translations: translated.jsonl, a line for each of them.

A line is written before its picture, so that one without a line is none of ours; of several lines
for a picture the last one holds.
"""

import dataclasses
import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

FILE = "translated.jsonl"


@dataclass(frozen=True)
class Made:
    """How a picture was made. `weights`: their checksum, which a run's name and step only hint at.

    `source_bytes`: the size of the file that was translated, which tells it from most others of its
    name. `style`: by what seed it was drawn, or of what picture; "" for a method without styles.
    """

    run: str
    step: int
    weights: str
    direction: str
    fit: str
    format: str
    source_bytes: int = 0
    style: str = ""

    def differences(self, now: "Made") -> list[str]:
        """Say in what this differs from what would be made now; nothing if they are alike."""
        found = []
        for name in ("direction", "fit", "format", "source_bytes", "style"):
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
        """Read what there is. Lines that are none, as of a full disk, are passed over."""
        self.folder = folder
        self._file, self._lock = folder / FILE, threading.Lock()
        self._made: dict[str, Made] = {}
        self._is_torn = False
        if self._file.exists():
            text = self._file.read_text(encoding="utf-8", errors="replace")
            self._is_torn = not text.endswith("\n")
            for line in text.splitlines():
                try:
                    fields = json.loads(line)
                    picture = _key(fields.pop("picture"))
                    self._made[picture] = Made(**fields)
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
