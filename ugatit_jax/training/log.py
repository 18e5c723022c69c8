"""What a training says: the bar, scalars and pictures for TensorBoard and others, samples/."""

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import optax
from ml_collections import ConfigDict
from tqdm import tqdm

from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.methods.method import Method, Params
from ugatit_jax.methods.state import TrainState
from ugatit_jax.training.estimate import Estimate
from ugatit_jax.training.events import EventFiles
from ugatit_jax.training.scalars import ScalarLines
from ugatit_jax.training.step import FINITE
from ugatit_jax.training.tracking import Tracker
from ugatit_jax.training.watchdog import Pair, Watchdog
from ugatit_jax.viewing.film import film
from ugatit_jax.viewing.visualize import save_png


class Log:
    """What a run says: the progress bar, TensorBoard's scalars and pictures, files in samples/."""

    def __init__(
        self,
        method: Method,
        train: ConfigDict,
        every: int,
        workdir: AnyPath,
        start: int,
        tracker: Tracker | None = None,
    ) -> None:
        """`train` is the config's section, `every` the number of steps between lines.

        tracker: is told all of it, too, and outlives this.
        """
        self._method, self._every, self._workdir = method, every, workdir
        self._silent = jax.process_index() > 0
        self._events = EventFiles(workdir, self._silent, start)
        self._lines = ScalarLines(workdir, self._silent, start)
        self._tracker = tracker or Tracker()
        self._bar = tqdm(
            total=train.steps,
            initial=start,
            unit="step",
            dynamic_ncols=True,
            # In seconds; a log file wants no ten lines a second.
            mininterval=0.1 if sys.stderr.isatty() else 10,
            disable=self._silent,
        )
        self._first = start + 1
        self._metrics: dict[str, jax.Array] = {}  # the last of each since they were written
        self._since = (start, time.monotonic())
        self._estimate = Estimate(train.steps)
        self._batch_size = train.batch_size
        self._schedules = method.schedules(train)
        self._watchdog = Watchdog.of(method)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
        self._events.close()
        self._lines.close()

    def is_due(self, step: int) -> bool:
        """Say whether a step is shown: every so many, and the first one after a start."""
        return step % self._every == 0 or step == self._first

    def advance(
        self, step: int, state: TrainState, metrics: Mapping[str, jax.Array], force: bool
    ) -> None:
        """Count a finished step; every so many steps, or if it has to be, write its metrics.

        And those of the steps before it that are not its own: of players whose turn it was not.
        """
        self._bar.update()
        if left := self._estimate.count(step, self._method.phase(step - 1)):
            self._write(f"step {step:,}: {left}")
        self._metrics |= {name: value for name, value in metrics.items() if name != FINITE}
        due = step % self._every == 0
        if not (force or self.is_due(step)):
            return
        found = {name: float(value) for name, value in jax.device_get(self._metrics).items()}
        # Others are there of a step that was left out, and nowhere else.
        values = {name: value for name, value in found.items() if math.isfinite(value)}
        shown = {
            short: f"{values[name]:.3g}"
            for short, name in self._method.shown.items()
            if name in values
        }
        if due or force:
            rates = self._rates(step)
            values |= rates | self._method.watch(state.params)
            values |= learning_rates(self._schedules, state.optimizers)
            self._write_scalars(step, values)
            self._metrics = {}
            shown["img/s"] = f"{rates['images_per_second']:.3g}"
            for text in self._watchdog.look(step, values):
                self.warn(step, text)
            if force:
                self._events.send()
                self._lines.send()
        self._bar.set_postfix(shown, refresh=False)

    def write_grid(self, step: int, grid: np.ndarray, samples: Mapping[str, Pair]) -> None:
        """Write a sample grid, uint8 [H, W, 3], to samples/ and to TensorBoard.

        samples: what it shows, for the watchdog.
        """
        if not self._silent:
            save_png(self._workdir / "samples" / f"step_{step:07d}.png", grid)
        self._events.writer.write_images(step, {"samples": grid[None]})
        self._tracker.grid(step, grid)
        self._events.send()
        for text in self._watchdog.look_at_samples(step, samples):
            self.warn(step, text)
        self._pause(step)

    def write_film(self) -> None:
        """Make samples/evolution.webp of the grids that there are, where these lie in a folder."""
        if self._silent or not isinstance(self._workdir, Path):
            return
        if grids := sorted((self._workdir / "samples").glob("step_*.png")):
            write_atomically(self._workdir / "samples" / "evolution.webp", film(grids))

    def write_kids(self, step: int, kids: Mapping[str, float]) -> None:
        """Write KID to the target, by direction, to TensorBoard (times 100) and to the screen."""
        scores = {f"kid_x100/{direction}": 100 * kid for direction, kid in kids.items()}
        self._write_scalars(step, scores)
        for files in (self._events, self._lines):
            files.send()  # before the checkpoint that the run may go on from
        said = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
        self._write(f"step {step}: {said}")
        self._pause(step)

    def warn(self, step: int, text: str) -> None:
        """Say something of a step that people should know, on the screen and to TensorBoard."""
        self._events.writer.write_texts(step, {"warnings": text})
        self._events.send()
        self._write(f"step {step}: {text}")

    def _write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._events.writer.write_scalars(step, values)
        self._lines.write(step, values)
        self._tracker.scalars(step, values)

    def _write(self, line: str) -> None:
        """Print a line above the bar, in the first process."""
        if not self._silent:
            self._bar.write(line)

    def _pause(self, step: int) -> None:
        """Begin to take times anew: what came since this step was no training."""
        self._since = (step, time.monotonic())
        self._estimate.pause()

    def _rates(self, step: int) -> dict[str, float]:
        (since_step, since), now = self._since, time.monotonic()
        self._since = (step, now)
        rate = (step - since_step) / max(now - since, 1e-9)
        return {
            "steps_per_second": rate,
            "images_per_second": len(self._method.inputs) * rate * self._batch_size,
        }


@jax.jit
def parameter_norms(params: Params) -> dict[str, jax.Array]:
    """Return the Euclidean norm of all parameters of each group."""
    return {f"norm/{group}": optax.tree.norm(tree) for group, tree in params.items()}


def learning_rates(
    schedules: Mapping[str, optax.Schedule], optimizers: Mapping[str, optax.OptState]
) -> dict[str, float]:
    """Return the rate of each group's last move: one for all where they agree."""
    rates = {}
    for group, schedule in schedules.items():
        # Adam's count and the schedule's are the same.
        _, moves = optax.tree.get_all_with_path(optimizers[group], "count")[-1]
        rates[group] = float(schedule(np.maximum(moves, 1) - 1))
    if len(set(rates.values())) == 1:
        return {"learning_rate": next(iter(rates.values()))}
    return {f"learning_rate/{group}": rate for group, rate in rates.items()}


def say(text: str) -> None:
    """Print a line, in the first process."""
    if jax.process_index() == 0:
        print(text, flush=True)
