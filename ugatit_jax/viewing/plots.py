"""Plots of a training."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ugatit_jax.viewing.visualize import DIRECTION_TITLES


def plot_kids(
    points: Sequence[Mapping[str, Any]], directions: Sequence[str], extractor: str
) -> bytes:
    """Draw KID×100 of the directions over the steps, with the best step marked, as a PNG file."""
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
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
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
