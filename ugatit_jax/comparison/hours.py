"""How long a run had trained when it reached a step, from the dates in its records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np

# (step, hours of training until then)
Point = tuple[int, float]


@dataclass(frozen=True)
class Clock:
    """Hours of training by step: those of all starts, without the time in between.

    segments: the points of each start, the first of which is what it went on from. pace: hours per
    step, where nothing was measured: before a start that went on from a step between two points.
    """

    segments: list[list[Point]] = field(default_factory=list)
    pace: float | None = None

    @classmethod
    def of(cls, record: dict[str, Any], kids: dict[str, Any]) -> Self:
        """Read the dates of starts, of run.json, and of KIDs, of kid.json.

        Compiling counts, as it does for whoever waits. Older programs wrote no dates of KIDs: their
        runs have no hours.
        """
        starts = [(datetime.fromisoformat(x["date"]), x["step"]) for x in record.get("starts", [])]
        found = [_points_of(starts, i, kids.get("points", [])) for i in range(len(starts))]
        hours = sum(points[-1][1] for points in found)
        steps = sum(points[-1][0] - points[0][0] for points in found)
        clock = cls([], hours / steps if steps else None)
        for points in found:
            before = clock.hours(points[0][0]) or 0.0
            clock.segments.append([(step, before + since) for step, since in points])
        return clock

    def hours(self, step: int) -> float | None:
        """Return the hours until a step, in proportion between points; None where not known."""
        if self.pace is None:
            return None
        for points in reversed(self.segments):
            steps, hours = zip(*points, strict=True)
            if step >= steps[0]:
                beyond = max(0, step - steps[-1]) * self.pace
                return float(np.interp(step, steps, hours)) + beyond
        return 0.0


def _points_of(
    starts: Sequence[tuple[datetime, int]], i: int, points: Sequence[dict[str, Any]]
) -> list[Point]:
    """The points of start i, in hours since then."""
    date, step = starts[i]
    later = starts[i + 1][0] if i + 1 < len(starts) else None
    found = [(step, 0.0)]
    for point in points:
        if "date" not in point or point["step"] <= step:
            continue
        when = datetime.fromisoformat(point["date"])
        if when >= date and (later is None or when < later):
            found.append((point["step"], (when - date).total_seconds() / 3600))
    return found
