"""KID of all runs over steps and over hours, as they were measured while training."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ugatit_jax.comparison.arms import Arm, Run
from ugatit_jax.viewing.plots import draw_references, svg
from ugatit_jax.viewing.visualize import DIRECTION_TITLES

# Runs are drawn together if these are alike: what KID looked at, and the pictures, by number.
PROTOCOL = ("features", "pictures")


def plot_curves(arms: Sequence[Arm], directions: Sequence[str]) -> tuple[bytes | None, list[str]]:
    """Draw the curves as an SVG file, a colour for each arm; and say which runs are not in it.

    None where no run has one. Runs whose KID was measured otherwise than the first one's are left
    out; a dashed line is the KID of the untranslated pictures, a dotted one that of half of the
    target.
    """
    runs = [run for arm in arms for run in arm.runs]
    with_curve = [run for run in runs if run.kids.get("points")]
    if not with_curve:
        return None, []
    first = with_curve[0]
    drawn = [run for run in with_curve if _protocol(run) == _protocol(first)]
    said = [f"{run.name} measured no KID while training." for run in runs if not run.kids]
    said += [
        f"{run.name}'s KID while training was measured by other features or pictures than "
        f"{first.name}'s, so it is not drawn."
        for run in with_curve
        if run not in drawn
    ]
    timed = any(run.clock.pace is not None for run in drawn)
    figure = Figure(figsize=(10, 3.6 * len(directions)), layout="constrained")
    axes = figure.subplots(len(directions), 1 + timed, squeeze=False, sharey="row")
    for row, direction in zip(axes, directions, strict=True):
        for i, arm in enumerate(arms):
            for run in arm.runs:
                if run in drawn:
                    label = arm.name if run is arm.runs[0] else None
                    _draw(row, run, direction, f"C{i % 10}", label)
        row[0].set_ylabel(f"{DIRECTION_TITLES[direction]}\nKID×100 to the target")
        for panel, unit in zip(row, ("steps", "hours of training"), strict=False):
            panel.set_xlabel(unit)
            panel.grid(alpha=0.3)
            untranslated, half = (
                first.kids.get(x, {}).get(direction) for x in ("untranslated", "target_half")
            )
            draw_references(panel, untranslated, half, "grey")
    axes[0, 0].legend(fontsize="small")
    return svg(figure), said


def _protocol(run: Run) -> list[Any]:
    return [run.kids.get(name) for name in PROTOCOL]


def _draw(row: Sequence[Axes], run: Run, direction: str, colour: str, label: str | None) -> None:
    points = [point for point in run.kids["points"] if direction in point]
    kids = [100 * point[direction]["mean"] for point in points]
    steps = [point["step"] for point in points]
    hours = [run.clock.hours(step) for step in steps]
    for panel, x in zip(row, (steps, hours), strict=False):
        if None not in x:
            panel.plot(x, kids, color=colour, marker="o", markersize=3, label=label)
