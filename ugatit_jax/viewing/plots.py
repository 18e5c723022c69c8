"""Plots of a training."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ugatit_jax.viewing.visualize import DIRECTION_TITLES


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
        axes.axhline(
            100 * untranslated[direction],
            color=colour,
            linestyle="--",
            linewidth=1,
            label=f"untranslated, {title}",
        )
        if target_half:
            label = f"half of the target, {title}"
            half = 100 * target_half[direction]
            axes.axhline(half, color=colour, linestyle=":", linewidth=1, label=label)
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
