"""What is no longer finite: noticed before it is saved, kept to be looked at, and maybe survived.

RUN/divergence/STEP/report.json   what was not finite, all terms of the step, what was done about it
RUN/divergence/STEP/INPUT.png     the pictures of that step, side by side, of each input

After the nth rollback to a step or an earlier one, pictures come in the nth other order from there
on, and the folder is STEP-n+1. So the reports are part of what a run is: which order it is in
follows from them.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

import jax
import numpy as np

from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, first_line, write_atomically
from ugatit_jax.devices import distributed
from ugatit_jax.training.step import FINITE
from ugatit_jax.viewing.visualize import save_png, tile

HELP = (
    "look at the pictures of the step: blank or broken ones do this",
    "lower config.train.learning_rate",
    "take config.dtype=float32, if it is bfloat16",
    "say --config.on_nonfinite=skip, which leaves such steps out, or rollback, which goes back to "
    "the newest checkpoint and on with the pictures in another order; both with --continue",
)
METRICS = Mapping[str, jax.Array]


class Diverged(FloatingPointError):
    """A term, a gradient or a parameter is no longer finite, and training cannot go on."""


class RolledBack(Diverged):
    """It is not, and training goes on from the newest checkpoint."""


class History(NamedTuple):
    """What a run's reports tell: the steps that were left out, and those that were gone back to."""

    skipped: tuple[int, ...] = ()
    rolled_back: tuple[int, ...] = ()

    @classmethod
    def read(cls, workdir: AnyPath) -> Self:
        """Read it, the same in all processes. Raises `InputError` for a report that is none."""
        found: dict[str, list[int]] = {"stop": [], "skip": [], "rollback": []}
        with distributed.all_or_none():
            reports = (workdir / "divergence").glob("*/report.json")
            for path in reports if jax.process_index() == 0 else ():
                try:
                    report = read_object(path)
                    found[report["action"]].append(int(report["goes_on_from"]))
                except (OSError, KeyError, TypeError, ValueError) as error:
                    raise InputError(
                        f"cannot read {path} ({in_a_line(repr(error))}), which tells how the run "
                        "went on: restore the file"
                    ) from None
        of_first = distributed.gather(found)[0]
        return cls(tuple(sorted(of_first["skip"])), tuple(sorted(of_first["rollback"])))

    def orders(self, step: int) -> int:
        """Return how often the order of pictures had changed for a run that is at this step."""
        return sum(back <= step for back in self.rolled_back)


class Guard:
    """Looks at every step, when it is known to be done, and does what `on_nonfinite` says."""

    def __init__(
        self,
        action: str,
        limit: int,
        players: Sequence[str],
        workdir: AnyPath,
        history: History,
        start: int,
        saved: Callable[[], int],
        pictures: Callable[[int], Mapping[str, np.ndarray]],
        warn: Callable[[int, str], None],
    ) -> None:
        """action, limit: the config's. players: their names, in turn. history: the run's.

        start: the step that the run goes on from. saved: returns the newest step that can be gone
        back to. pictures: returns a step's, uint8 [N, H, W, 3] by input, asked in the first process
        alone. warn: is told the step and what is to be said of it.
        """
        self._action, self._limit, self._players = action, limit, players
        self._workdir, self._saved, self._pictures, self._warn = workdir, saved, pictures, warn
        self._orders, self._rollbacks = history.orders(start), len(history.rolled_back)
        # Later ones come again: the same steps to the same bits.
        self._skipped = {step for step in history.skipped if step <= start}

    def check(self, step: int, metrics: METRICS) -> None:
        """Look at what a step returned, and at norms of parameters if they are there.

        Waits for the step. Raises `Diverged`, or `RolledBack`, for one that is not finite and was
        not left out.
        """
        norms = [value for name, value in metrics.items() if name.startswith("norm/")]
        finite, *norms = jax.device_get([metrics[FINITE], *norms])
        if finite and np.isfinite(norms).all():
            return
        values = {name: float(x) for name, x in jax.device_get(dict(metrics)).items()}
        del values[FINITE]
        action = self._action
        if action == "skip" and finite:  # parameters that are not cannot be left out
            action = "stop"
        done = {"skip": len(self._skipped), "rollback": self._rollbacks}
        spent = done.get(action, 0) >= self._limit
        said, error = self._decide("stop" if spent else action, step, values)
        if error is None:
            self._warn(step, said)
            return
        if spent:
            said += f"; {self._limit} such steps are as many as config.nonfinite_limit lets pass"
        distributed.wait_for_all("diverged")  # the first process has had more to write
        raise error(said)

    def _decide(
        self, action: str, step: int, values: dict[str, float]
    ) -> tuple[str, type[Diverged] | None]:
        """Report a step; return what is said of it, and what is raised, if anything."""
        name = first_of(values, self._players)
        said = f"{name} is {values[name]} at step {step}, "
        if action == "skip":
            self._skipped.add(step)
            kept = self._report(action, step, values, step)
            count = len(self._skipped)
            said += f"which is left out ({count} of at most {self._limit}): {kept}"
            return said, None
        if action == "rollback":
            back = self._saved()
            count = self._rollbacks + 1
            kept = self._report(action, step, values, back)
            said += (
                f"and training goes on from step {back} with the pictures in another order "
                f"({count} of at most {self._limit}): {kept}"
            )
            return said, RolledBack
        kept = self._report(action, step, values, step)
        return f"{said}which is not saved: {kept}; {HELP[1]}, or {HELP[2]}", Diverged

    def _report(self, action: str, step: int, values: dict[str, float], goes_on_from: int) -> str:
        """Write what there is to know of a step; return in words where it is."""
        suffix = f"-{self._orders + 1}" if self._orders else ""
        folder = self._workdir / "divergence" / f"{step}{suffix}"
        if jax.process_index() > 0:
            return f"{folder} tells more"
        report = {
            "step": step,
            "orders": self._orders,
            "first": first_of(values, self._players),
            "not_finite": [name for name, x in values.items() if not math.isfinite(x)],
            "action": action,
            "goes_on_from": goes_on_from,
            "what_helps": HELP,
            # JSON has no number for what is not finite.
            "metrics": {k: x if math.isfinite(x) else str(x) for k, x in values.items()},
        }
        try:
            for name, pictures in self._pictures(step).items():
                save_png(folder / f"{name}.png", tile(pictures))
        except (OSError, InputError) as error:
            report["pictures"] = f"not kept: {first_line(error)}"
        text = json.dumps(report, indent=2) + "\n"
        try:
            write_atomically(folder / "report.json", text)
        except OSError as error:
            if action == "rollback":  # the order of the pictures follows from it
                raise
            return f"{folder} could not be written ({first_line(error)})"
        return f"{folder} has its pictures and all terms"


def first_of(values: Mapping[str, float], players: Sequence[str]) -> str:
    """Return the name of what was not finite first, of a step's metrics.

    Players move in turn; parts come before the terms that they add up to, these before the total,
    and all of them before gradients. Norms of parameters are last.
    """

    def turn(name: str) -> tuple[int, bool, bool, int, str]:
        player, _, term = name.partition("/")
        order = players.index(player) if player in players else len(players)
        return order, term.startswith("gradient/"), term == "total", -term.count("/"), name

    return min((name for name, x in values.items() if not math.isfinite(x)), key=turn)
