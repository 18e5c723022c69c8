"""Whether checkpoints are as they were written: sizes and checksums, kept beside them.

RUN/checksums/STEP.json    {file of the checkpoint: {'bytes', 'crc32'}}
RUN/damaged/STEP           a checkpoint that was not, set aside

A checkpoint gets its file when the next one is saved, or as the training ends. One without, of a
run that was killed before, is taken as it is: orbax puts a checkpoint where it belongs when it is
whole. A bucket keeps checksums of its own, and objects there are whole or not there at all.
"""

import contextlib
import json
import os
import stat
import zlib
from collections.abc import Container
from pathlib import Path
from typing import Any

from ugatit_jax.console.errors import InputError, in_a_line, printable
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, list_files, write_atomically

CHUNK = 1 << 24  # bytes
LATER = "metrics"  # KID may be added to a checkpoint that is there


def record_new(checkpoints: AnyPath, steps: list[int]) -> None:
    """Write down what the checkpoints of these steps are, those that there are in all.

    checkpoints: the folder that they are in.
    """
    if not isinstance(checkpoints, Path):
        return
    kept = checkpoints.parent / "checksums"
    kept.mkdir(parents=True, exist_ok=True)
    for path in kept.glob("*.json"):
        if path.stem.isdigit() and int(path.stem) not in steps:
            path.unlink()
    for step in steps:
        if (kept / f"{step}.json").exists():
            continue
        folder = checkpoints / str(step)
        names = (file for file in list_files(folder) if file.parts[0] != LATER)
        try:
            files = {name.as_posix(): _about(folder / name) for name in names}
        except FileNotFoundError:  # orbax, in the background, has no more use for it
            continue
        write_atomically(kept / f"{step}.json", json.dumps(files, indent=0) + "\n")


def refuse_odd_files(checkpoints: AnyPath) -> None:
    """Raise `InputError` for what orbax would stumble over before any checkpoint is chosen.

    That is a pipe or a device, which it would wait for, and KIDs that are none.
    """
    if not isinstance(checkpoints, Path):
        return
    for kids in checkpoints.glob(f"*/{LATER}/{LATER}"):
        _check_kids(kids)
    for folder, _, names in os.walk(checkpoints):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # by now, or where a link leads
                file = Path(folder, name)
                if not stat.S_ISREG(file.stat().st_mode):
                    raise InputError(
                        f"{printable(file)} is no regular file, and no part of a checkpoint: "
                        "remove it"
                    )


def _check_kids(file: Path) -> None:
    try:
        kids = read_object(file)
        if not kids or not all(_is_kid(kid) for kid in kids.values()):
            raise ValueError(f"it says {in_a_line(kids, 40)}")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{printable(file)} holds no KIDs ({in_a_line(error)}): remove "
            f"{printable(file.parent)}, and the checkpoint goes without"
        ) from None


def _is_kid(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**31)


def find_damage(checkpoints: AnyPath, step: int, items: Container[str] | None = None) -> str | None:
    """Say what is wrong with a checkpoint, or return None for one that is as it was written.

    items: whose files' checksums are compared; of the others, which will not be read, sizes alone.
    None: all.
    """
    if not isinstance(checkpoints, Path):
        return None
    try:
        files = read_object(checkpoints.parent / "checksums" / f"{step}.json")
        known = {name: (int(was["bytes"]), was["crc32"]) for name, was in files.items()}
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    for name, (size, crc32) in known.items():
        path = checkpoints / str(step) / name
        shown = printable(path)
        # Of names that somebody made up, nothing outside the checkpoint is read.
        if ".." in path.parts or Path(name).is_absolute() or not path.is_file():
            return f"{shown} is missing"
        read = items is None or name.split("/")[0] in items
        found = _about(path, read)
        if found["bytes"] != size:
            return f"{shown} has {found['bytes']:,} of {size:,} bytes"
        if read and found["crc32"] != crc32:
            return f"{shown} is not as it was written: its checksum differs"
    return None


def set_aside(checkpoints: Path, step: int) -> Path:
    """Move a checkpoint, and what was written down of it, out of orbax's sight; return where to."""
    damaged = checkpoints.parent / "damaged"
    damaged.mkdir(parents=True, exist_ok=True)
    where, count = damaged / str(step), 1
    while where.exists():
        count += 1
        where = damaged / f"{step}-{count}"
    (checkpoints / str(step)).rename(where)
    (checkpoints.parent / "checksums" / f"{step}.json").unlink(missing_ok=True)
    return where


def _about(file: Path, with_checksum: bool = True) -> dict[str, Any]:
    checksum = None
    if with_checksum:
        checksum = 0
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                checksum = zlib.crc32(chunk, checksum)
    return {"bytes": file.stat().st_size, "crc32": checksum}
