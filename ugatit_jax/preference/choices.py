"""What people chose: choices.jsonl, a line for each choice, on the disk before it is answered.

Of several lines of one person about one picture the last one holds. A line that a crash cut short
is passed over and left where it is: nothing that was written is ever removed.
"""

import dataclasses
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.json_file import parse_json
from ugatit_jax.data.storage import first_line, read_bytes

FILE = "choices.jsonl"
MOST_SECONDS = 1e6  # for a choice


@dataclass(frozen=True)
class Choice:
    """What a person chose of one picture.

    picture: the input's name. choice: the method. shown: all methods, in the order of the page.
    seconds: how long it took; time: when it was, UTC, as ISO 8601.
    """

    person: str
    picture: str
    choice: str
    shown: list[str]
    seconds: float
    time: str

    @classmethod
    def parse(cls, line: str) -> "Choice":
        """Read a line. Raises `ValueError` if it is none of ours."""
        try:
            choice = cls(**parse_json(line))
        except TypeError as error:
            raise ValueError(str(error)) from None
        words = [choice.person, choice.picture, choice.choice]
        if not isinstance(choice.shown, list) or not all(
            isinstance(word, str) for word in [*words, *choice.shown]
        ):
            raise ValueError("fields of other types")
        if type(choice.seconds) not in (int, float) or not 0 <= choice.seconds < MOST_SECONDS:
            raise ValueError("no number of seconds")
        if choice.choice not in choice.shown or len(set(choice.shown)) < len(choice.shown):
            raise ValueError("a choice that was not shown, or twice")
        return choice


class Choices:
    """The choices of a folder; threads may add to them."""

    def __init__(self, folder: Path) -> None:
        """Read what there is; `skipped`: what was passed over, a line of text for each.

        Raises `InputError` for a file that cannot be read.
        """
        self.file = folder / FILE
        self.skipped: list[str] = []
        self._lock = threading.Lock()
        self._of: dict[tuple[str, str], Choice] = {}
        self._is_torn = False
        if not self.file.exists():
            return
        try:
            text = read_bytes(self.file).decode("utf-8", "replace")
        except OSError as error:
            raise InputError(f"cannot read {self.file}: {first_line(error)}") from None
        self._is_torn = not text.endswith("\n") and text != ""
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                self._remember(Choice.parse(line))
            except ValueError:
                self.skipped.append(f"{self.file}: line {number} is no whole choice and is skipped")

    def _remember(self, choice: Choice) -> None:
        self._of[choice.person, choice.picture] = choice

    def all(self) -> list[Choice]:
        """Return the last choice of each person about each picture."""
        with self._lock:
            return list(self._of.values())

    def of(self, person: str) -> Mapping[str, Choice]:
        """Return a person's choices by the pictures' names."""
        return {choice.picture: choice for choice in self.all() if choice.person == person}

    def add(self, choice: Choice) -> None:
        """Write a choice; it is on the disk when this returns. Raises `OSError` if it is not."""
        line = (json.dumps(dataclasses.asdict(choice)) + "\n").encode()
        with self._lock:
            is_new = not self.file.exists()
            file = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                data = b"\n" + line if self._is_torn else line
                self._is_torn = True  # until all of it is there
                while data:
                    data = data[os.write(file, data) :]
                os.fsync(file)
            finally:
                os.close(file)
            if is_new:  # so that a power cut does not take the file's name
                _sync_folder(self.file.parent)
            self._is_torn = False
            self._remember(choice)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
