"""What people are asked, in which order, and what they were shown: study.json.

Orders follow from names alone, by SHA-256: they are the same after a restart and on every machine,
and different for each person and picture.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.runs.exports import read_description

FORMAT = 1  # of study.json; a newer program may write a higher one
FILE = "study.json"

T = TypeVar("T", int, str)


@dataclass(frozen=True)
class Study:
    """A study of one data set.

    dataset: its name, for the report. target: words that the page shows, what pictures were
    translated to; or "". pictures: the inputs' names. inputs: a checksum of their contents.
    methods: {name: a checksum of its translations}.
    """

    dataset: str
    target: str
    pictures: list[str]
    inputs: str
    methods: dict[str, str]

    def order(self, person: str) -> list[int]:
        """Return the indices of all pictures in the order in which a person sees them."""
        return _shuffled(range(len(self.pictures)), person)

    def places(self, person: str, picture: str) -> list[str]:
        """Return the methods in the order in which a person sees them with a picture."""
        return _shuffled(sorted(self.methods), person, picture)

    def differences(self, now: "Study") -> list[str]:
        """Say in what this differs from the study that would be made now."""
        found = [
            f"its {name} is {getattr(self, name)!r}, now {getattr(now, name)!r}"
            for name in ("dataset", "target")
            if getattr(self, name) != getattr(now, name)
        ]
        if self.pictures != now.pictures:
            found.append(
                f"it asks about {len(self.pictures)} pictures, now about {len(now.pictures)}"
                if len(self.pictures) != len(now.pictures)
                else "its pictures have other names"
            )
        elif self.inputs != now.inputs:
            found.append("its inputs were other pictures")
        if set(self.methods) != set(now.methods):
            of, of_now = (", ".join(sorted(x.methods)) for x in (self, now))
            found.append(f"its methods are {of}, now {of_now}")
        elif self.pictures == now.pictures:
            changed = [name for name, digest in self.methods.items() if digest != now.methods[name]]
            found += [f"the translations of {name} were others" for name in changed]
        return found


def _shuffled(items: Sequence[T], *seed: str) -> list[T]:
    def key(item: T) -> bytes:
        text = "\0".join([*seed, str(item)])
        return hashlib.sha256(text.encode(errors="surrogateescape")).digest()

    return sorted(items, key=key)


def open_study(folder: AnyPath, study: Study) -> None:
    """Write a study's description, or see that it is the one that the folder holds already.

    Raises `InputError` where it holds another one: choices between other pictures do not go
    together.
    """
    if (folder / FILE).exists():
        if differences := read_study(folder).differences(study):
            raise InputError(f"{folder} is another study: {differences[0]}; say another --out")
        return
    content = {"format": FORMAT} | dataclasses.asdict(study)
    write_atomically(folder / FILE, json.dumps(content, indent=2) + "\n")


def read_study(folder: AnyPath) -> Study:
    """Read the description of a study. Raises `InputError` where there is none."""
    if not (folder / FILE).is_file():
        raise InputError(f"no study in {folder}: give a folder that was --out of one")
    content = read_description(folder / FILE, FORMAT)
    del content["format"]
    try:
        study = Study(**content)
        methods = study.methods.items()
        texts = [study.dataset, study.target, study.inputs, *(x for both in methods for x in both)]
        if type(study.pictures) is not list or not methods:
            raise TypeError("no pictures, or no methods")
        if not all(type(text) is str for text in texts + study.pictures):
            raise TypeError("other than texts")
    except (TypeError, AttributeError):
        raise InputError(f"{folder / FILE} is no study's description; restore the file") from None
    return study
