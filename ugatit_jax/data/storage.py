"""Where runs and pictures lie: in a folder, or in a bucket of Google Cloud Storage, at gs://….

A folder or file is a `pathlib.Path`. What begins with gs:// is an `epath.Path`, which has the same
methods, and gcsfs carries them out; orbax takes both kinds. None of it imports TensorFlow.
"""

import argparse
import contextlib
import errno
import functools
import hashlib
import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeAlias

import fsspec

from ugatit_jax.console.errors import InputError, printable

# With TensorFlow installed, epath would import it for every address.
os.environ.setdefault("EPATH_USE_TF", "0")
# Without it gcsfs asks what kind of bucket it is, which takes a permission of its own.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
from etils import epath

# It would not see what other processes write.
fsspec.config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)

AnyPath: TypeAlias = Path | epath.Path


def open_path(name: str | AnyPath) -> AnyPath:
    """Return a folder or file by its path, or by its address in a bucket, gs://BUCKET/NAME.

    Raises `InputError` for another kind of address, and for a bucket that cannot be read.
    """
    scheme, found, rest = str(name).partition("://")
    if not found:
        return Path(name)
    bucket = rest.partition("/")[0]
    if scheme != "gs" or not bucket:
        raise InputError(f"{name} is neither a folder nor an address like gs://BUCKET/NAME")
    _check_bucket(bucket)
    return epath.Path(name)


def path_argument(text: str, read: Callable[[str], AnyPath] = open_path) -> AnyPath:
    """Read an argument of a command line as `open_path`, or another such function, does."""
    try:
        return read(text)
    except InputError as error:  # argparse would hide what it says
        raise argparse.ArgumentTypeError(str(error)) from None


def folder_argument(text: str) -> Path:
    """Read an argument of a command line that must not be an address."""
    if "://" in text:  # as a path it would be a local folder of that name
        raise argparse.ArgumentTypeError(f"{text} is no folder or file of this machine")
    return Path(text)


@functools.cache
def _check_bucket(bucket: str) -> None:
    try:
        _gcs().call("GET", "b/{}/o", bucket, maxResults=1, json_out=True)
    except ImportError:
        raise InputError(f"gs://{bucket} is read with gcsfs: pip install gcsfs") from None
    except FileNotFoundError:
        raise InputError(f"there is no bucket gs://{bucket}") from None
    except Exception as error:  # of the connection, of what it logs in with, of its rights
        raise InputError(
            f"cannot read the bucket gs://{bucket} ({first_line(error)}): it takes a network, a "
            "login (gcloud auth application-default login), and the right to list its objects"
        ) from None


def check_for_orbax(path: AnyPath) -> None:
    """Raise `InputError` for a bucket in which orbax cannot keep, or find, checkpoints."""
    if not isinstance(path, Path):
        _check_for_orbax(path.parts[2])


@functools.cache
def _check_for_orbax(bucket: str) -> None:
    from google.cloud import storage  # as orbax does; it comes with gcsfs

    try:
        storage.Client().get_bucket(bucket)
    except Exception as error:
        raise InputError(
            f"cannot use the bucket gs://{bucket} for a run ({first_line(error)}): it takes the "
            "right storage.buckets.get, and a project, such as GOOGLE_CLOUD_PROJECT names"
        ) from None


def _gcs() -> Any:
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs what it raises, too
    return fsspec.filesystem("gcs", finalize_on_close=True)  # as epath does: one for all


def first_line(error: Exception) -> str:
    """Return why an error of a file system was raised, in one line."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0] or repr(error)


def resolve(path: AnyPath) -> AnyPath:
    """Return the same path from the root, without links; an address as it is.

    Where links lead in a circle, nothing is raised: whoever opens it hears of that.
    """
    return Path(os.path.realpath(path)) if isinstance(path, Path) else path


def parents(path: AnyPath) -> list[AnyPath]:
    """Return the folders that a path lies in, from the inside out; the bucket is the last one."""
    return [x for x in path.parents if isinstance(x, Path) or len(x.parts) > 2]


def make_folder(path: AnyPath) -> None:
    """Make a folder that can be written to, and those above it. Raises `OSError` if it cannot.

    A bucket has no folders: there it writes an empty file, and removes it again.
    """
    if isinstance(path, Path):
        path.mkdir(parents=True, exist_ok=True)
    else:
        probe = path / ".can_be_written"
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)


def could_be_made(folder: Path) -> None:
    """Raise `OSError` if a folder could not be made, or not be written to; nothing is made."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


def write_atomically(path: AnyPath, content: str | bytes) -> None:
    """Write a file; who dies meanwhile leaves the old one or the new one. Its folders are made.

    Text is UTF-8; what has no place in it, as in names of files that are not, becomes an escape. A
    link of the file's name is replaced, not followed.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if not isinstance(path, Path):  # a bucket shows no unfinished files
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # As the name may be as long as names can be, this one does not hold it.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    unfinished = path.with_name(f".{digest}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)  # of who died, or put there to lead elsewhere
        with unfinished.open("xb") as file:
            file.write(data)
        unfinished.replace(path)
    except OSError:  # what there is of it takes up room on a full disk
        unfinished.unlink(missing_ok=True)
        raise


def read_bytes(path: AnyPath) -> bytes:
    """Read a file; in a bucket with one request, where `path.read_bytes` makes four.

    Raises `OSError` as `open_file` does.
    """
    if not isinstance(path, Path):
        return _gcs().cat_file(str(path))
    with open_file(path) as file:
        return file.read()


def open_file(path: Path) -> BufferedReader:
    """Open a file of this machine to read it.

    Raises `OSError` for what is none but has a name: a pipe would be waited for, and a device read
    without end.
    """
    # Without waiting for somebody to write into a pipe; files take no notice of it.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(number).st_mode
    if stat.S_ISREG(kind):
        return os.fdopen(number, "rb")
    os.close(number)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise FileNotFoundError(errno.ENOENT, "it is no regular file", str(path))


def list_files(folder: AnyPath) -> list[PurePath]:
    """Return the paths, from `folder`, of all files in it and in the folders in it.

    Links are followed, but into each folder once, and not where it is found without a link.
    """
    if isinstance(folder, Path):
        return _walk(folder)
    root = PurePosixPath(str(folder).removeprefix("gs://"))
    return [PurePosixPath(name).relative_to(root) for name in _gcs().find(str(folder))]


def file_sizes(paths: Sequence[AnyPath]) -> list[int]:
    """Return the sizes of files in bytes; a bucket is asked for a list of all, not for each.

    Raises `InputError` for a file that is no more there.
    """
    names = [str(path).removeprefix("gs://") for path in paths if not isinstance(path, Path)]
    listed: dict[str, dict[str, Any]] = {}
    if names:
        folder = os.path.commonpath([os.path.dirname(name) for name in names])
        listed = _gcs().find(folder, detail=True)
    return [
        file_size(path)
        if isinstance(path, Path)
        else int(listed[str(path).removeprefix("gs://")]["size"])
        for path in paths
    ]


def file_size(path: Path) -> int:
    """Return the size of a file in bytes. Raises `InputError` for one that is no more there."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(
            f"cannot read {printable(path)}: {first_line(error)}; somebody removes files while "
            "they are looked for"
        ) from None


# Of a folder or file that is not the user's, is no more there, or has too long a path to be opened.
_PASSED_OVER = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}


def _walk(root: Path) -> list[PurePath]:
    found: list[PurePath] = []
    seen: set[object] = set()  # each folder once, as links between a few make endless paths
    waiting = deque([root])  # links come last: a folder is known by its own name
    while waiting:
        with _passed_over():
            folder = waiting.popleft()
            about = folder.stat()
            # Not by its path without links, which takes long to find where it is deep.
            real = (about.st_dev, about.st_ino) if about.st_ino else folder.resolve()
            if real in seen:
                continue
            seen.add(real)
            for path in sorted(folder.iterdir(), key=os.fspath):
                with _passed_over():
                    if path.is_dir():
                        (waiting.append if path.is_symlink() else waiting.appendleft)(path)
                    elif path.is_file():
                        found.append(path.relative_to(root))
    return found


@contextlib.contextmanager
def _passed_over() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _PASSED_OVER:
            raise
