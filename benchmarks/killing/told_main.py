"""`python -m ugatit_jax.main`, which tells a file what it is in; `chaos.py` kills it there.

    PHASE=FILE python -m benchmarks.killing.told_main --config=… --workdir=…

The functions of a few modules are wrapped before the program begins, which knows nothing of it. A
thread that looked at the program's stack from beside it ended it now and then with a segmentation
fault: frames go on, and threads of XLA and TensorFlow come and go, while they are read.
"""

import functools
import os
import runpy
from collections.abc import Callable
from typing import Any

from ugatit_jax.training import kid_curve, log, loop, samples

LONGEST = 10  # characters of a phase
# Where a phase begins and ends; all before, between and after is of the start.
PLACES = [
    (loop, "_run", "step"),
    (loop.TrainSteps, "compile", "start"),
    (kid_curve.KidCurve, "measure", "KID"),
    (samples.Sampler, "grid", "grid"),
    (log.Log, "write_grid", "grid"),
]


class Phase:
    """What the program is in, in a file."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_CREAT | os.O_WRONLY)
        self._now = "start"

    def tell(self, phase: str) -> str:
        """Write down a phase; returns the one before."""
        before, self._now = self._now, phase
        os.pwrite(self._file, phase.ljust(LONGEST).encode(), 0)
        return before

    def of(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        """Return the function, in a phase."""

        @functools.wraps(function)
        def told(*args: Any, **kwargs: Any) -> Any:
            before = self.tell(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self.tell(before)

        return told


def main() -> None:
    """Wrap, and run the program as its module."""
    phase = Phase(os.environ["PHASE"])
    for place, name, named in PLACES:
        setattr(place, name, phase.of(getattr(place, name), named))
    runpy.run_module("ugatit_jax.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
