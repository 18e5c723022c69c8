"""TensorBoard's event files, in a folder or in a bucket."""

import io
import os
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from ugatit_jax.console.extras import is_installed
from ugatit_jax.data.storage import AnyPath, epath

LARGEST = 2**23  # bytes: how much of an event file is sent more than once to a bucket


class EventFiles:
    """Writes event files by CLU's `writer`; none where TensorFlow, which CLU needs, is not there.

    TensorFlow cannot add to what is in a bucket, and logs in there on its own. So they are written
    here, and sent there beside the training; a new one is begun when one has become large, for what
    is sent to be no more than what is written, and a bit.
    """

    def __init__(self, workdir: AnyPath, silent: bool, start: int) -> None:
        """start: the step that is gone on from. silent: nothing is written, but by process 0."""
        self._workdir, self._silent = workdir, silent
        self._here = None if isinstance(workdir, Path) else TemporaryDirectory()
        self._sender = ThreadPoolExecutor(1)
        self._sending: list[Future[None]] = []
        self._can_write = is_installed("tensorflow")
        if not silent and self._can_write:
            forget_after(workdir, start)
        self._open()

    @property
    def _folder(self) -> AnyPath:
        return Path(self._here.name) if self._here else self._workdir

    def _open(self) -> None:
        if not self._can_write:
            self.writer = Nowhere()
            return
        from clu import metric_writers  # imports TensorFlow

        self.writer = metric_writers.create_default_writer(
            str(self._folder),
            just_logging=self._silent,
            asynchronous=False,
        )

    def send(self) -> None:
        """See that what was written outlives this process; raises what an earlier one ran into."""
        self.writer.flush()
        if self._here is None:
            return
        self._wait(0)
        files = list(Path(self._here.name).iterdir())
        full = sum(file.stat().st_size for file in files) > LARGEST
        if full:
            self.writer.close()
        for file in files:
            self._sending.append(self._sender.submit(self._copy, file, full))
        if full:
            self._open()

    def _copy(self, file: Path, last: bool) -> None:
        epath.Path(file).copy(self._workdir / file.name, overwrite=True)
        if last:
            file.unlink()

    def _wait(self, seconds: float | None) -> None:
        for sent in list(self._sending):
            if seconds is None or sent.done():
                self._sending.remove(sent)
                sent.result(seconds)

    def close(self) -> None:
        """Write and send the rest."""
        self.writer.close()
        if self._here is not None:
            self._wait(None)
            for file in Path(self._here.name).iterdir():
                self._copy(file, last=True)
            self._here.cleanup()
        self._sender.shutdown()


class Nowhere:
    """A writer of CLU's that does not write."""

    def write_scalars(self, step: int, values: object) -> None:
        """Leave them to scalars.jsonl."""

    def write_images(self, step: int, values: object) -> None:
        """Leave them to samples/."""

    def write_texts(self, step: int, values: object) -> None:
        """Leave them to the screen."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def forget_after(workdir: AnyPath, step: int) -> None:
    """Cut off what event files say of steps after this one, and a last record that is not whole.

    A run that was killed had said something of the steps since its last checkpoint, and says it
    again. Some readers show each of them once all the same, others twice.
    """
    for path in sorted(workdir.glob("events.out.tfevents.*")):
        if isinstance(path, Path):
            size = path.stat().st_size
            with path.open("rb") as file:
                end = _end_of(file, size, step)
            if end < size:
                os.truncate(path, end)
        else:
            content = path.read_bytes()
            end = _end_of(io.BytesIO(content), len(content), step)
            if end < len(content):
                path.write_bytes(content[:end])


def _end_of(file: BinaryIO, size: int, step: int) -> int:
    """Return where in a file (TFRecord) the first event of a later step begins, or its end."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    end = 0
    while len(header := file.read(12)) == 12:  # length, and a checksum
        (length,) = struct.unpack_from("<Q", header)
        if end + 12 + length + 4 > size:
            break
        record = file.read(length + 4)
        try:
            if Event.FromString(record[:length]).step > step:
                break
        except DecodeError:  # nobody reads on from here
            break
        end += 12 + length + 4
    return end
