"""A run directory: what a training leaves, and what it was.

config.json            the config of the newest start
run.json               a record per start: date, step, command, versions, git revision, devices; and
                       what the run is: fields, pictures, what KID and losses look at
checkpoints/STEP/      see `checkpoints.py`
divergence/STEP/       see `training/divergence.py`
samples/  events.*     what the training writes for people to look at
scalars.jsonl          what it logs, for programs; see `training.scalars`
index.html             what came of it, for people; see `evaluation.run_page`
wandb.json  wandb/     see `training.tracking`
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ml_collections import ConfigDict

import ugatit_jax
from ugatit_jax.config.records import (
    Origin,
    architecture_differences,
    load_config,
    save_config,
)
from ugatit_jax.console.errors import UNWRITABLE, InputError, in_a_line
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import (
    AnyPath,
    check_for_orbax,
    could_be_made,
    first_line,
    make_folder,
    write_atomically,
)
from ugatit_jax.runs.exports import is_exported, read_description
from ugatit_jax.runs.identity import Identity

FORMAT = 2  # of the run directory; a newer program may write a higher one
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")


@dataclass(frozen=True)
class Before:
    """What a run was at its newest start; `identity` is None for one of an older program."""

    config: ConfigDict
    identity: Identity | None


def prepare_run(workdir: AnyPath, config: ConfigDict, dry: bool = False) -> Before | None:
    """Make the run directory, or check that its checkpoints are of use with this config.

    dry: make none, and look whether it could be made; in a bucket, where that takes an object, not
    even that.

    Returns what the run was, or None for a new one. Raises `InputError` if another architecture
    makes its parameters useless, if a newer program made it, or if there can be no such folder.
    """
    if is_exported(workdir):
        raise InputError(f"{workdir} holds an export: take another --workdir")
    check_for_orbax(workdir)
    check_format(workdir)
    if not saved_steps(workdir):
        try:
            if not dry:
                make_folder(workdir)
            elif isinstance(workdir, Path):
                could_be_made(workdir)
        except OSError as error:
            raise InputError(
                f"cannot make the folder {workdir}: {first_line(error)}; say another --workdir"
            ) from None
        return None
    before = load_config(workdir / "config.json")
    if differences := architecture_differences(config, before):
        fields = ", ".join(
            f"config.{f} is {now!r} and was {then!r}" for f, (now, then) in differences.items()
        )
        raise InputError(
            f"the run in {workdir} has another architecture: {fields}; "
            "take the values that it had, or another --workdir"
        )
    identity = read_identity(workdir)
    if identity is not None:  # fields that came later had their defaults
        identity = identity.with_defaults(before)
    return Before(before, identity)


def record_start(
    workdir: AnyPath,
    config: ConfigDict,
    identity: Identity | None,
    step: int,
    origin: Origin | None = None,
) -> None:
    """Write config.json, and add this start to run.json.

    identity, origin: None for a run that was not trained here, but imported.
    """
    import jax  # not above: who asks whether there is a run need not wait for it

    path = workdir / "run.json"
    record: dict[str, Any] = {"starts": []}
    if path.exists():
        kept = read_description(path, FORMAT)
        record = kept if isinstance(kept.get("starts"), list) else kept | record
    record["format"] = FORMAT
    record["identity"] = identity and identity.to_json()
    record["starts"].append(
        {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "step": step,
            "command": sys.argv,
            "devices": [device.device_kind for device in jax.devices()],
            "git": _git_revision(),
            "origin": origin and origin._asdict(),
            "versions": {"ugatit_jax": ugatit_jax.__version__, "python": platform.python_version()}
            | {package: importlib.metadata.version(package) for package in PACKAGES},
        }
    )
    write_atomically(path, json.dumps(record, indent=2) + "\n")
    save_config(config, workdir / "config.json")


@contextlib.contextmanager
def held(workdir: AnyPath, dry: bool = False) -> Iterator[None]:
    """Keep other trainings out of a run directory as long as the block runs.

    dry: make no file for that; without one, nobody holds it.
    The system lets go of it when the process ends, however it ends. Nothing is held in a bucket,
    nor where the system has no such locks. Raises `InputError` if another training holds it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    lock = workdir / ".lock"
    if not isinstance(lock, Path) or not workdir.is_dir() or (dry and not lock.exists()):
        yield
        return
    with _open_lock(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another training runs in {workdir}: wait for it or stop it, or take another "
                "--workdir"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def _open_lock(path: Path) -> BinaryIO:
    """Open a lock's file; not where a link leads, nor a pipe, which would be waited for."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.fdopen(os.open(path, flags, 0o666), "rb")
    except OSError as error:
        if error.errno in UNWRITABLE:
            raise
        raise InputError(f"cannot lock {path}: {error.strerror}; remove it") from None


def saved_steps(workdir: AnyPath) -> list[int]:
    """Return the steps whose checkpoints a run directory has, or none if there is no such run."""
    steps = (path for path in checkpoints_folder(workdir).glob("*") if path.name.isdigit())
    return sorted(int(path.name) for path in steps if _is_complete(path))


def is_run(folder: AnyPath) -> bool:
    """Tell a run directory from other folders."""
    return checkpoints_folder(folder).is_dir()


def checkpoints_folder(workdir: AnyPath) -> AnyPath:
    """Return the folder in which orbax keeps a run's checkpoints."""
    # Orbax takes no relative paths, and epath mistakes an address for one.
    return (workdir.absolute() if isinstance(workdir, Path) else workdir) / "checkpoints"


def check_format(workdir: AnyPath) -> None:
    """Raise `InputError` for a run of a newer program."""
    if (workdir / "run.json").exists():
        read_description(workdir / "run.json", FORMAT)


def read_identity(workdir: AnyPath) -> Identity | None:
    """Return what a run was at its newest start; None for one of an older program, or imported.

    Raises `InputError` if its record cannot be read.
    """
    path = workdir / "run.json"
    try:
        kept = read_object(path).get("identity") if path.exists() else None
        return kept and Identity.from_json(kept)
    except (OSError, KeyError, TypeError, ValueError) as error:
        said = in_a_line(repr(error))
        raise InputError(f"cannot read {path} ({said}): restore the file") from None


def _is_complete(checkpoint: AnyPath) -> bool:
    # A bucket's folders cannot be renamed: orbax marks there what it renames elsewhere.
    return isinstance(checkpoint, Path) or (checkpoint / "commit_success.txt").exists()


def _git_revision() -> str | None:
    """Return the program's revision, with '+' if its files are changed; None outside git."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        revision, changes = (
            subprocess.run([*git, *arguments], capture_output=True, text=True, check=True).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "."])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.strip() + ("+" if changes else "")
