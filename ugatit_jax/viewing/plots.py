"""Plots of a training."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import ColorType

from ugatit_jax.viewing.visualize import DIRECTION_TITLES

GREY, BLUE = "#7d7d86", "#3f86d0"  # that are read on white and on black


def svg(figure: Figure, background: str = "white") -> bytes:
    """Return a figure as an SVG file that is the same each time it is drawn."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ugatit_jax", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor=background)
    return buffer.getvalue()


def plot_loss(steps: Sequence[int], values: Sequence[float]) -> bytes:
    """Draw a loss as it was logged, faintly, and its running mean, as a panel of a page: SVG."""
    figure, axes = _panel()
    axes.plot(steps, values, color=BLUE, alpha=0.3, linewidth=0.8)
    width = max(1, len(values) // 25)
    # Of so many before a point, or of all there are.
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    axes.plot(steps, (sums[ends] - sums[starts]) / (ends - starts), color=BLUE, linewidth=1.5)
    return svg(figure, "none")


def plot_kid(
    points: Sequence[tuple[int, float]], untranslated: float | None, target_half: float | None
) -> bytes:
    """Draw KID of a direction over the steps, (step, KID), as a panel of a page: SVG.

    untranslated, target_half: as for `plot_kids`; None where they are not known.
    """
    figure, axes = _panel()
    steps, kids = zip(*points, strict=True)
    axes.plot(steps, 100 * np.array(kids), color=BLUE, marker="o", markersize=3, label="translated")
    draw_references(axes, untranslated, target_half, GREY, "")
    axes.legend(frameon=False, labelcolor=GREY, fontsize="small")
    return svg(figure, "none")


def draw_references(
    axes: Axes,
    untranslated: float | None,
    target_half: float | None,
    colour: ColorType,
    of: str | None = None,
) -> None:
    """Draw the KIDs that a translation has to beat, and can reach, as lines; None: not known.

    of: what follows their names in the legend; None: they are not in it.
    """
    for kid, style, name in (
        (untranslated, "--", "untranslated"),
        (target_half, ":", "half of the target"),
    ):
        if kid is not None:
            label = None if of is None else name + of
            axes.axhline(100 * kid, color=colour, linestyle=style, linewidth=1, label=label)


def _panel() -> tuple[Figure, Axes]:
    """A small figure whose ink is read on a light page and on a dark one."""
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("none")
    axes.tick_params(colors=GREY)
    axes.spines[:].set_color(GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.2)
    return figure, axes


def plot_kids(
    points: Sequence[Mapping[str, Any]],
    directions: Sequence[str],
    extractor: str,
    untranslated: Mapping[str, float],
    target_half: Mapping[str, float] | None = None,
) -> bytes:
    """Draw KID×100 of the directions over the steps, with the best step marked, as a PNG file.

    untranslated, target_half: KID by direction of the pictures before translation, and of one half
    of the target pictures to the other: what a translation has to beat, and the best there can be.
    """
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps = [point["step"] for point in points]
    for direction in directions:
        title = DIRECTION_TITLES[direction]
        means, stds = (
            [100 * point[direction][what] for point in points] for what in ("mean", "std")
        )
        (line,) = axes.plot(steps, means, marker="o", markersize=3, label=title)
        low, high = ([m + sign * s for m, s in zip(means, stds, strict=True)] for sign in (-1, 1))
        colour = line.get_color()
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        half = target_half[direction] if target_half else None
        draw_references(axes, untranslated[direction], half, colour, f", {title}")
    best = min(points, key=lambda point: sum(point[way]["mean"] for way in directions))["step"]
    axes.axvline(best, color="grey", linestyle=":", label=f"best, step {best:,}")
    subsets = "{subsets} subsets of {subset_size:,}".format(**points[-1][directions[0]])
    axes.set(
        xlabel="step",
        ylabel="KID×100 to the target, lower is better",
        title=f"{extractor} features; ± standard deviation over {subsets}",
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.title.set_fontsize("small")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
