"""Time several things in turns, so that what else the machine does falls on all of them alike."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Run = Callable[[], object]  # it returns when its result is there
Name = TypeVar("Name", bound=Hashable)


def measure(
    runs: Mapping[Name, Run], rounds: int, clock: Callable[[], float], before: int
) -> dict[Name, np.ndarray]:
    """Return the seconds of every round, in turns; so many rounds go before, which compile."""
    times: dict[Name, list[float]] = {name: [] for name in runs}
    for _ in range(before + rounds):
        for name, run in runs.items():
            since = clock()
            run()
            times[name].append(clock() - since)
    return {name: np.array(of_run[before:]) for name, of_run in times.items()}
