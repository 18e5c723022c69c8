"""TensorBoard's event files, in a folder or in a bucket."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from ugatit_jax.data.storage import AnyPath, epath

LARGEST = 2**23  # bytes: how much of an event file is sent more than once to a bucket


class EventFiles:
    """Writes event files by CLU's `writer`.

    TensorFlow cannot add to what is in a bucket, and logs in there on its own. So they are written
    here, and sent there beside the training; a new one is begun when one has become large, for what
    is sent to be no more than what is written, and a bit.
    """

    def __init__(self, workdir: AnyPath, silent: bool) -> None:
        """`silent`: nothing is written, in all processes but the first."""
        self._workdir, self._silent = workdir, silent
        self._here = None if isinstance(workdir, Path) else TemporaryDirectory()
        self._sender = ThreadPoolExecutor(1)
        self._sending: list[Future[None]] = []
        self._open()

    def _open(self) -> None:
        from clu import metric_writers  # imports TensorFlow

        self.writer = metric_writers.create_default_writer(
            self._here.name if self._here else str(self._workdir),
            just_logging=self._silent,
            asynchronous=False,
        )

    def send(self) -> None:
        """See that what was written is read by others, too; raises what an earlier one ran into."""
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
