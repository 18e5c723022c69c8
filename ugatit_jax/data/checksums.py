"""Checksums of files that results depend on."""

import hashlib
from pathlib import Path

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.storage import open_file


def find_sha256(path: Path, advice: str) -> str:
    """Return a file's SHA-256. Raises `InputError`, with the advice, if it cannot be read."""
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; {advice}") from error


def check_sha256(path: Path, expected: str, advice: str) -> str:
    """Return a file's SHA-256, or raise `InputError` if it is not the expected one."""
    found = find_sha256(path, advice)
    if found != expected:
        raise InputError(
            f"{path} is damaged or another file: its SHA-256 begins with {found[:8]}, "
            f"not {expected[:8]}; {advice}"
        )
    return found
