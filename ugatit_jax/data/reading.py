"""Reading a file that may lie behind a network: what is tried again, and what is told."""

import errno
import time

from ugatit_jax.console.errors import InputError, TransientError, in_a_line, printable
from ugatit_jax.data.storage import AnyPath, first_line, read_bytes

PAUSES = (0.5, 1, 2)  # seconds before another attempt; clients of buckets have their own before it
# Another attempt finds the same.
_LASTING = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}
_LASTING_KINDS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_CLIENTS = {"gcsfs", "aiohttp", "google", "requests"}


def read_file(path: AnyPath) -> bytes:
    """Read a file, a few times if it has to be.

    Raises `InputError` for what is not there or must not be read, and `TransientError` for what
    fails each time and might not at another.
    """
    for pause in (*PAUSES, None):
        try:
            return read_bytes(path)
        except Exception as error:  # clients of buckets raise all kinds
            said = f"cannot read {printable(path)}: {in_a_line(first_line(error))}"
            if not is_transient(error):
                raise InputError(f"{said}; replace it or leave it out") from error
            if pause is None:
                raise TransientError(
                    f"{said}, {len(PAUSES) + 1} times one after the other; the same command may do "
                    "later"
                ) from error
            time.sleep(pause)
    raise AssertionError


def is_transient(error: Exception) -> bool:
    """Tell an error of a disk, network or server from one of the file or the permissions."""
    if isinstance(error, OSError):
        lasting = isinstance(error, _LASTING_KINDS) or error.errno in _LASTING
        return not lasting and not str(error).startswith("Forbidden")  # as gcsfs says it
    if type(error).__module__.partition(".")[0] not in _CLIENTS:
        return False
    status = str(vars(error).get("code") or vars(error).get("status") or "")
    if status:  # of HTTP; 401: a login that ran out
        return status.startswith("5") or status in ("401", "408", "429")
    return bool(getattr(error, "retryable", True))
