"""What is logged of a training as lines of JSON, for programs that know no TensorBoard.

RUN/scalars.jsonl   {"step": 100, "generator/cycle": 0.25, …}, in the order of steps; a KID has a
                    line of its own
"""

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from ugatit_jax.data.storage import AnyPath, write_atomically

NAME = "scalars.jsonl"


class ScalarLines:
    """Adds to a run's scalars.jsonl.

    In a bucket nothing can be added to: all of it is kept here, some megabytes of a long run, and
    sent anew with each checkpoint.
    """

    def __init__(self, workdir: AnyPath, silent: bool, start: int) -> None:
        """start: the step that is gone on from. silent: nothing is written, but by process 0."""
        self._path, self._silent = workdir / NAME, silent
        self._file: TextIO = io.StringIO()
        if silent:
            return
        kept = forget_after(self._path, start)
        if isinstance(self._path, Path):
            self._file = self._path.open("a", encoding="utf-8")
        else:
            self._file.write(kept)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line; JSON has no number for what is not finite, and it is null there."""
        if not self._silent:
            finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
            self._file.write(json.dumps({"step": step} | finite) + "\n")
            self._file.flush()

    def send(self) -> None:
        """See that what was written outlives this process."""
        if isinstance(self._file, io.StringIO) and not self._silent:
            write_atomically(self._path, self._file.getvalue())

    def close(self) -> None:
        """Send the rest, and close the file."""
        self.send()
        self._file.close()


def forget_after(path: AnyPath, step: int) -> str:
    """Leave out lines of later steps, which come again, and a last one that is not whole.

    Returns what is left.
    """
    if not path.exists():
        return ""
    lines = path.read_bytes().decode(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if (its := _step_of(line)) is not None and its <= step]
    if kept != lines:
        write_atomically(path, "".join(kept))
    return "".join(kept)


def _step_of(line: str) -> int | None:
    try:
        step = json.loads(line)["step"] if line.endswith("\n") else None
    except (ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) else None
