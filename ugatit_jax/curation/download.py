"""Downloads that go on where they stopped, from the first mirror that has the right file.

`pooch`, which gets the weights of networks, neither resumes nor knows mirrors.
"""

import contextlib
import hashlib
import time
from pathlib import Path

import requests
from tqdm import tqdm

from ugatit_jax.console.errors import InputError, TransientError, in_a_line
from ugatit_jax.curation.catalogue import Archive
from ugatit_jax.data.checksums import find_sha256

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before another attempt; anew after some progress
TIMEOUT = 20  # seconds without a byte
LONGEST_PAUSE = 60  # seconds, whatever a server asks for
_PROGRESS = 2**20  # bytes that make an attempt worth more attempts
_BLOCK = 2**13  # bytes: what is lost of a connection that breaks off is less


class _Refused(Exception):
    """This mirror does not have the file, and will not have it in a minute."""


class _Interrupted(Exception):
    """This mirror may have the rest in a moment. seconds: what it asks to wait."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


def download(archive: Archive, folder: Path) -> Path:
    """Return an archive's file in a folder, downloaded unless it is there.

    A file of the right size and checksum, where these are known. Raises `InputError` where no
    mirror has it, and `TransientError` where one may have it later.
    """
    target = folder / archive.file
    if target.exists():
        _check(target, archive, f"remove {target}, and it is downloaded again")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    reasons, may_work_later = [], False
    for url in archive.urls:
        # A part of what another mirror has may be of another file.
        part = folder / f".{archive.file}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
        try:
            _fetch_all(url, part, archive)
            _check(part, archive, "it is tried from elsewhere")
        except (_Refused, InputError) as error:
            part.unlink(missing_ok=True)
            _validator(part).unlink(missing_ok=True)
            reasons.append(f"{url}: {in_a_line(error)}")
            continue
        except _Interrupted as error:
            may_work_later = True
            reasons.append(f"{url}: {in_a_line(error)}")
            continue
        part.replace(target)
        _validator(part).unlink(missing_ok=True)
        return target
    said = "; ".join(reasons)
    kind = TransientError if may_work_later else InputError
    later = "the same command goes on where it stopped, or " if may_work_later else ""
    raise kind(
        f"cannot download {archive.file} ({said}): {later}get it by hand, and say --from=FILE"
    )


def _check(path: Path, archive: Archive, advice: str) -> None:
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        raise InputError(f"it has {size:,} bytes, not {archive.size:,}; {advice}")
    if archive.sha256 is not None and find_sha256(path, advice) != archive.sha256:
        raise InputError(f"its SHA-256 is not {archive.sha256[:8]}…; {advice}")


def _fetch_all(url: str, part: Path, archive: Archive) -> None:
    """Fetch what a part lacks, in a bounded number of attempts without progress."""
    pauses = iter(PAUSES)
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _fetch(url, part, archive)
            return
        except requests.exceptions.ChunkedEncodingError:
            reason, asked = "the connection broke off", None
        except (requests.ConnectionError, requests.Timeout) as error:
            reason, asked = f"no connection ({type(error).__name__})", None
        except requests.RequestException as error:
            raise _Refused(in_a_line(error)) from error
        except _Interrupted as error:
            reason, asked = str(error), error.seconds
        after = part.stat().st_size if part.exists() else 0
        if after - before >= _PROGRESS:
            pauses = iter(PAUSES)
        pause = next(pauses, None)
        if pause is None:
            raise _Interrupted(f"{reason}, {len(PAUSES) + 1} times")
        time.sleep(pause if asked is None else min(asked, LONGEST_PAUSE))


def _fetch(url: str, part: Path, archive: Archive) -> None:
    """Fetch what a part lacks, once."""
    there = part.stat().st_size if part.exists() else 0
    validator = _validator(part)
    headers = {"Accept-Encoding": "identity"}
    if there and validator.exists():  # without, it might be the rest of a newer file
        headers |= {"Range": f"bytes={there}-", "If-Range": validator.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # all of it is there, or more than all
            part.unlink(missing_ok=True)
            raise _Interrupted("it is another file now")
        _check_status(response)
        if "html" in response.headers.get("Content-Type", ""):
            raise _Refused("it is a page, not a file")
        if response.status_code != 206:
            there = 0
        _remember(response, validator)
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else archive.size
        with (
            part.open("ab" if there else "wb") as file,
            tqdm(
                None, archive.file, total, initial=there, unit="B", unit_scale=True, disable=None
            ) as bar,
        ):
            for block in response.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise _Interrupted("the connection broke off")


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        asked = None
        with contextlib.suppress(ValueError):  # it may be a date
            asked = max(0.0, float(response.headers.get("Retry-After", "")))
        raise _Interrupted(f"the server says {status}", asked)
    if status not in (200, 206):
        raise _Refused(f"the server says {status}")


def _validator(part: Path) -> Path:
    """The file with what tells whether the server's file is still the one a part is of."""
    return part.with_suffix(".etag")


def _remember(response: requests.Response, validator: Path) -> None:
    etag = response.headers.get("ETag", "")
    strong = etag if etag and not etag.startswith("W/") else ""
    if said := strong or response.headers.get("Last-Modified", ""):
        validator.write_text(said)
    else:
        validator.unlink(missing_ok=True)
