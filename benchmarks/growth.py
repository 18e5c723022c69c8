"""How a light training step grows with batch, side and width: time and memory, on a CPU.

python -m benchmarks.growth --out docs/growth.png

Beside what is varied: one picture per domain, 64 px, width 16, 2 residual blocks; discriminators of
5 and 6 layers, which 64 px allow. Most of the time goes into compiling, which is kept for the next
run. Ctrl-C ends it after the row under way, and draws what is there by then.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.train_step import Cost, configure, measure
from ugatit_jax.console.errors import exit_on_input_error
from ugatit_jax.devices.runtime import set_up_jax

SIZE, WIDTH = 64, 16


class Curve(NamedTuple):
    """What one of the quantities does while the others stay."""

    name: str
    unit: str
    dimension: int  # the power of it that counts pixels, or weights
    points: dict[int, Cost]

    @property
    def xs(self) -> np.ndarray:
        """Pixels, or weights, relative to the first point."""
        values = np.array([*self.points], np.float64)
        return (values / values[0]) ** self.dimension

    def of(self, what: str) -> np.ndarray:
        """Seconds, FLOPs or bytes of every point."""
        return np.array([getattr(cost, what) for cost in self.points.values()])

    def exponent(self, what: str) -> float:
        """Return the slope of log cost over log value, by least squares; NaN of one point."""
        if len(self.points) < 2:
            return math.nan
        return float(np.polyfit(np.log([*self.points]), np.log(self.of(what)), 1)[0])


def measure_point(batch_size: int, size: int, width: int, steps: int) -> Cost:
    """Measure the step of one setting, with a network small enough for two cores."""
    config = configure("light", size, width, batch_size, "float32")
    config.model.residual_blocks, config.model.global_layers = 2, 6
    return measure(config, steps)


def draw(curves: list[Curve], title: str, file: Path) -> None:
    """Draw time and memory over pixels or weights relative to a curve's first point."""
    figure = Figure(figsize=(10, 4.8), dpi=120, layout="constrained")
    axes: list[Axes] = [*figure.subplots(1, 2)]
    for place, what, scale, label in (
        (axes[0], "seconds", 1e3, "ms per step"),
        (axes[1], "bytes", 2**-20, "MiB of arguments and temporaries"),
    ):
        for curve in curves:
            exponent = f"∝ {curve.name}$^{{{curve.exponent(what):.2f}}}$"
            (line,) = place.plot(curve.xs, curve.of(what) * scale, marker="o", markersize=4)
            line.set_label(f"{curve.name} {curve.unit}: {exponent}")
        ends = np.array([1, max(curve.xs[-1] for curve in curves)])
        first = curves[0].of(what)[0] * scale
        place.plot(ends, first * ends, "k--", linewidth=1, label="slope 1 in pixels")
        place.set_xscale("log", base=2)
        place.set_yscale("log")
        place.set(xlabel="pixels or weights (width²), × those of the first point", ylabel=label)
        place.xaxis.set_major_formatter("{x:g}")
        place.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        place.yaxis.set_major_formatter("{x:g}")
        place.yaxis.set_minor_formatter(NullFormatter())
        place.grid(alpha=0.3)
        place.legend(fontsize="small")
    figure.suptitle(f"What a training step takes: {title}", fontsize="medium")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


@exit_on_input_error
def main() -> None:
    """Print a table in Markdown, with fitted exponents, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[1, 4, 16, 32])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128, 192, 256])
    parser.add_argument("--widths", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/growth.png"))
    flags = parser.parse_args()
    set_up_jax()
    title = f"light, float32, {jax.devices()[0].device_kind}, jax {jax.__version__}"
    print(f"{title}, median of {flags.steps} steps\n")
    print("| varied | value | ms/step | GFLOP/step | MiB |\n|---|---:|---:|---:|---:|")
    curves = [
        Curve("batch", f"at {SIZE} px", 1, {}),
        Curve("side", "in px", 2, {}),
        Curve("width", f"at {SIZE} px", 2, {}),
    ]
    measured: dict[tuple[int, int, int], Cost] = {}
    try:
        for curve, values in zip(
            curves, (flags.batch_sizes, flags.sizes, flags.widths), strict=True
        ):
            for value in sorted(values):
                setting = {"batch": 1, "side": SIZE, "width": WIDTH} | {curve.name: value}
                key = setting["batch"], setting["side"], setting["width"]
                if key not in measured:
                    measured[key] = measure_point(*key, flags.steps)
                curve.points[value] = cost = measured[key]
                row = (
                    f"{cost.seconds * 1e3:.0f} | {cost.flops / 1e9:.2f} | {cost.bytes / 2**20:.0f}"
                )
                print(f"| {curve.name} | {value} | {row} |", flush=True)
    except KeyboardInterrupt:
        print("stopped: what follows is of the rows above", file=sys.stderr)
    curves = [curve for curve in curves if curve.points]
    print("\n| cost ∝ value^n | n, time | n, FLOPs | n, memory |\n|---|---:|---:|---:|")
    for curve in curves:
        exponents = (curve.exponent(what) for what in ("seconds", "flops", "bytes"))
        print(f"| {curve.name} | " + " | ".join(f"{n:.2f}" for n in exponents) + " |")
    if curves:
        draw(curves, title, flags.out)
        print(f"\n![How a step grows]({flags.out})")


if __name__ == "__main__":
    main()
