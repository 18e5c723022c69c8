"""How long a training is going to take, told once it can be known."""

import time
from collections.abc import Callable

STEPS = 100  # that are timed


class Estimate:
    """Times the first hundred steps after a start, and of every further phase of a method.

    The first of them compiles, and is left out; so is what else takes its time between two steps,
    such as sample grids and KID.
    """

    def __init__(self, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        """steps: of the whole training."""
        self._steps, self._clock = steps, clock
        self._phases: set[str] = set()
        self._counted, self._seconds, self._since = 0, 0.0, 0.0

    def pause(self) -> None:
        """Leave out the time since the last step: it was spent on something else."""
        self._since = self._clock()

    def count(self, step: int, phase: str) -> str | None:
        """Count a finished step of a phase; say what is left once a hundred have been timed."""
        now = self._clock()
        if phase not in self._phases:  # DRIT's take turns
            self._phases.add(phase)
            self._counted, self._seconds = 0, 0.0
        else:
            self._counted += 1
            self._seconds += now - self._since
        self._since = now
        if self._counted != STEPS or step >= self._steps:
            return None
        left = (self._steps - step) * self._seconds / STEPS
        return f"about {in_words(left)} to step {self._steps:,}"


def in_words(seconds: float) -> str:
    """Say how long something takes, in two units at most: '2 days 4 h', '3 h 20 min', '40 s'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        # Of hours, minutes are known no better than by tens.
        hours, minutes = divmod(60 * hours + 10 * round(minutes / 10), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(hours + minutes / 60), 24)
    return " ".join([f"{days} day{'s' * (days > 1)}", *([f"{hours} h"] if hours else [])])
