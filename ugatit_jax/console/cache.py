"""The folder for what is downloaded, rendered or compiled, and can be made again."""

import os
from pathlib import Path

from ugatit_jax.console.errors import InputError


def find_cache_dir(cache_dir: str = "") -> Path:
    """The folder for what is downloaded or rendered; by default $XDG_CACHE_HOME/ugatit_jax."""
    if "://" in cache_dir:
        raise InputError(f"config.data.cache_dir is {cache_dir}; it must be a folder here")
    if cache_dir:
        return Path(cache_dir).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ugatit_jax"
