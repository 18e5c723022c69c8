"""Pictures out of archives that others made: nothing lands elsewhere, and no bomb goes off."""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data.images import EXTENSIONS

MOST_FILES = 200_000
MOST_BYTES = 2**36  # of all pictures: 64 GiB
LARGEST = 2**28  # bytes, of a picture
_BLOCK = 2**20
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError)


def is_archive(path: Path) -> bool:
    """Tell whether a file is a ZIP or a tar, by what is in it."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def extract_pictures(archive: Path, folder: Path) -> int:
    """Write the pictures of a ZIP or a tar into a folder, and return how many there are.

    Only regular files whose names end as pictures' do; links, devices, hidden files and what else
    there is are left out. Raises `InputError` for an archive that is damaged or encrypted, that
    leads out of the folder, or that holds more than pictures would.
    """
    if not is_archive(archive):
        raise InputError(f"{archive} is neither a ZIP nor a tar: give an archive of pictures")
    total, count = 0, 0
    try:
        for name, opened in tqdm(_members(archive), "Unpacking", unit="file", disable=None):
            path = _safe(name, archive)
            if path is None:
                continue
            count += 1
            if count > MOST_FILES:
                raise InputError(f"{archive} holds more than {MOST_FILES:,} pictures")
            total += _write(opened, folder / path, archive, MOST_BYTES - total)
    except (*_BROKEN, RuntimeError) as error:  # zipfile's of one that is encrypted
        raise InputError(f"{archive} is damaged or encrypted ({error}): get it again") from error
    return count


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of an archive; each is read before the next one is asked for."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.infolist():
                kind = member.external_attr >> 16 & 0o170000
                if not member.is_dir() and kind in (0, 0o100000):
                    with zipped.open(member) as file:
                        yield member.filename, file
        return
    with tarfile.open(archive) as tar:
        for entry in tar:
            if entry.isreg():
                yield entry.name, tar.extractfile(entry) or io.BytesIO()


def _safe(name: str, archive: Path) -> PurePosixPath | None:
    """Where a picture goes below the folder; None for what is none."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.suffix.lower() not in EXTENSIONS:
        return None
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise InputError(f"{archive} leads out of itself by {printable(name)}: do not trust it")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return None if hidden else path


def _write(source: IO[bytes], target: Path, archive: Path, room: int) -> int:
    """Write a file block by block, as headers may lie about its size; return its bytes."""
    most = min(LARGEST, room)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > most:
                raise InputError(
                    f"{archive} holds more than pictures would, in {printable(target.name)}: "
                    "do not trust it"
                )
            file.write(block)
    return written
