"""A cleaned copy of a folder of pictures: hard links where that can be, and copies elsewhere."""

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ugatit_jax.console.errors import InputError
from ugatit_jax.curation.folders import Folder

# Of links to another disk, or where a disk has none, or not to a file of somebody else's.
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES, errno.EMLINK}


def check_target(target: Path, *sources: Path) -> None:
    """Raise `InputError` for a folder to write to that is not empty, or lies in a source."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is there and not empty: give a new folder, or remove it")
    for source in sources:
        if target.resolve().is_relative_to(source.resolve()):
            raise InputError(f"{target} is inside {source}: give a folder outside of it")


def write_cleaned(folder: Folder, left_out: Iterable[str], target: Path) -> int:
    """Write all pictures but those left out, under their paths; return how many there are.

    Raises `InputError` if nothing would be left of a split that is trained on, or of the folder.
    """
    without = set(left_out)
    kept = [source for source in folder.sources if source.name not in without]
    needed = ("trainA", "trainB") if folder.is_data_set else ("",)
    empty = [x for x in needed if not any(source.split == x for source in kept)]
    if empty:
        where = " and ".join(x or "the folder" for x in empty)
        raise InputError(f"--fix would leave nothing in {where}: mend what the report says by hand")
    for source in kept:
        place(folder.root / source.name, target / source.name)
    return len(kept)


def place(source: Path, target: Path) -> None:
    """Make a file be at another place, too: by a hard link if that can be, else by a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)  # of what a link points to, not of the link
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)
