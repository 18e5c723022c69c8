"""What is logged of a training as lines of JSON, for programs that know no TensorBoard.

RUN/scalars.jsonl   {"step": 100, "generator/cycle": 0.25, …}, in the order of steps; a KID has a
                    line of its own
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from ugatit_jax.data.storage import AnyPath, write_atomically

NAME = "scalars.jsonl"


class ScalarLines:
    """Adds to a run's scalars.jsonl; in a bucket, where nothing can be added to, there is none."""

    def __init__(self, workdir: AnyPath, silent: bool, start: int) -> None:
        """start: the step that is gone on from. silent: nothing is written, but by process 0."""
        self._file: TextIO | None = None
        if isinstance(workdir, Path) and not silent:
            forget_after(workdir / NAME, start)
            self._file = (workdir / NAME).open("a", encoding="utf-8")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line; JSON has no number for what is not finite, and it is null there."""
        if self._file is not None:
            finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
            self._file.write(json.dumps({"step": step} | finite) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def forget_after(path: Path, step: int) -> None:
    """Leave out lines of later steps, which come again, and a last one that is not whole."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if (its := _step_of(line)) is not None and its <= step]
    if kept != lines:
        write_atomically(path, "".join(kept))


def _step_of(line: str) -> int | None:
    try:
        step = json.loads(line)["step"] if line.endswith("\n") else None
    except (ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) else None
