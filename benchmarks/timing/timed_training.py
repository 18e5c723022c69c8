"""Trainings that all take the same minutes, one after the other, and one comparison of all.

How many steps the minutes have room for is measured before all of them, in turns, so that what
else the machine does falls on all alike and each learning rate falls to 0 within its steps. Each
training is a process of its own, as in life; what is there is neither tried nor trained again.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from benchmarks.timing.turns import CLOCKS, Run, measure
from ugatit_jax.config.flags import load_experiment, override
from ugatit_jax.console.errors import InputError

TRIED = 27  # steps of each
FIRST = 3  # before them, which compile and warm up
CHECKPOINTS = 5  # of each training, by which one sees ρ move


class Took(NamedTuple):
    """What a training took: steps, minutes with all that is around them, and the trial's speed."""

    steps: int
    minutes: float
    steps_per_second: float

    @staticmethod
    def file(run_dir: Path) -> Path:
        """Return where it is written down."""
        return run_dir.with_name(f"{run_dir.name}.json")

    @classmethod
    def of(cls, run_dir: Path) -> "Took | None":
        """Read it, or return None where the training was not finished."""
        file = cls.file(run_dir)
        return cls(**json.loads(file.read_text())) if file.exists() else None


class Trial(NamedTuple):
    """What is tried before the trainings: functions that do one step, by phase of the method.

    phase: the phase of a step, from 0.
    """

    steps: dict[str, Run]
    phase: Callable[[int], str]

    def steps_of(self, costs: Mapping[str, float], seconds: float) -> int:
        """Return how many steps, of whatever phases are their turn, take so many seconds.

        costs: the seconds of a step, by phase.
        """
        count = 0
        while (seconds := seconds - costs[self.phase(count)]) >= 0:
            count += 1
        return count


def steps_within(trials: Mapping[str, Trial], seconds: float, clock: str) -> dict[str, int]:
    """Return for each how many steps it does in so many seconds, by one of CLOCKS."""
    runs = {(name, phase): run for name, it in trials.items() for phase, run in it.steps.items()}
    costs: dict[str, dict[str, float]] = {name: {} for name in trials}
    for (name, phase), times in measure(runs, TRIED, CLOCKS[clock], FIRST).items():
        costs[name][phase] = float(times.mean())
    return {name: max(2, it.steps_of(costs[name], seconds)) for name, it in trials.items()}


def add_arguments(parser: argparse.ArgumentParser, minutes: float, seeds: Sequence[int]) -> None:
    """Add what all such benchmarks are told."""
    parser.add_argument("--config", default="configs/demo.py", help="pictures and sizes")
    parser.add_argument("--minutes", type=float, default=minutes, help="of each training")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: of one core, where others work, too"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="of all")
    parser.add_argument("--try", nargs="+", dest="tried", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "SEED"), help=argparse.SUPPRESS)


def config_of(experiment: str, seed: int, fields: Sequence[str]) -> ConfigDict:
    """Return the config of 'FILE:VARIANT', with a seed and changed fields, 'FIELD=VALUE'."""
    config = load_experiment(experiment)
    config.seed = seed
    for field in fields:
        name, is_given, value = field.partition("=")
        if not is_given:
            raise InputError(f"--set {field}: say FIELD=VALUE")
        override(config, name, value)
    return config


def our_trial(config: ConfigDict) -> Trial:
    """Return the trial of a config's method, on noise."""
    import jax

    from benchmarks.timing.step import set_up_step
    from ugatit_jax.devices.runtime import set_up_jax
    from ugatit_jax.methods import build_method

    set_up_jax()  # as the program does

    def of_phase(phase: str) -> Callable[[], object]:
        run, (state, *others) = set_up_step(config, jax.devices()[:1], phase)
        kept = [state]

        def step() -> None:
            kept[0], _ = jax.block_until_ready(run(kept[0], *others))

        return step

    method = build_method(config)
    return Trial({phase: of_phase(phase) for phase in method.phases}, method.phase)


def train_ours(
    experiment: str, seed: int, steps: int, fields: Sequence[str], run_dir: Path
) -> None:
    """Train by the program's own command, without what only people look at."""
    flags = [*fields, f"seed={seed}", f"train.steps={steps}", "samples.every=0", "eval.every=0"]
    every = math.ceil(steps / CHECKPOINTS)
    flags += [f"checkpoint.every={every}", f"checkpoint.keep={CHECKPOINTS}"]
    command = [sys.executable, "-m", "ugatit_jax.main", f"--config={experiment}"]
    command += [f"--workdir={run_dir}", *(f"--config.{flag}" for flag in flags)]
    if subprocess.run(command).returncode:
        raise InputError(f"{run_dir} could not be trained, as it said above")


@dataclass(frozen=True)
class Contest:
    """Names, and how each is tried and trained.

    module: the program, 'python -m MODULE', whose processes train. trial: (name) → its trial.
    train: (name, seed, steps, folder) trains it for so many steps, into a folder that it makes.
    source: of the pictures that all are scored with.
    """

    module: str
    names: Sequence[str]
    trial: Callable[[str], Trial]
    train: Callable[[str, int, int, Path], None]
    source: str

    def hold(self, args: argparse.Namespace) -> None:
        """Try all, train each for the minutes with each seed, and lay all side by side."""
        if args.tried:
            trials = {name: self.trial(name) for name in args.tried}
            return self._write(args, steps_within(trials, 60 * args.minutes, args.clock))
        if args.one:
            return self._train_one(args, args.one[0], int(args.one[1]))
        args.out.mkdir(parents=True, exist_ok=True)
        untried = [name for name in self.names if name not in self._steps(args)]
        if untried:
            self._start(args.out, "--try", *untried)
        runs = {(n, seed): args.out / f"{n}-{seed}" for seed in args.seeds for n in self.names}
        for (name, seed), run_dir in runs.items():
            if Took.of(run_dir) is None:
                self._start(run_dir, "--one", name, str(seed))
        return compare_all(list(runs.values()), self.source, args.out)

    def _steps(self, args: argparse.Namespace) -> dict[str, int]:
        """Return the steps of all that were tried, for these minutes."""
        file = self._file(args)
        return json.loads(file.read_text()) if file.exists() else {}

    def _file(self, args: argparse.Namespace) -> Path:
        return Path(args.out / f"steps_of_{args.minutes:g}_minutes.json")

    def _write(self, args: argparse.Namespace, steps: Mapping[str, int]) -> None:
        print(f"{args.minutes:g} minutes have room for so many steps: {steps}", flush=True)
        self._file(args).write_text(json.dumps({**self._steps(args), **steps}) + "\n")

    def _start(self, what: Path, *more: str) -> None:
        """Run this program again, with the same arguments and more."""
        if subprocess.run([sys.executable, "-m", self.module, *sys.argv[1:], *more]).returncode:
            raise InputError(f"{what} could not be trained, as it said above")

    def _train_one(self, args: argparse.Namespace, name: str, seed: int) -> None:
        """Train once, and write down what it took."""
        steps, run_dir = self._steps(args)[name], args.out / f"{name}-{seed}"
        print(f"{run_dir}: {steps} steps", flush=True)
        since = time.perf_counter()
        self.train(name, seed, steps, run_dir)
        took = Took(steps, (time.perf_counter() - since) / 60, steps / (60 * args.minutes))
        Took.file(run_dir).write_text(json.dumps(took._asdict()) + "\n")


def compare_all(runs: Sequence[Path], source: str, out: Path) -> None:
    """Lay all runs side by side, with the speed of each, into `out`."""
    from ugatit_jax.comparison.compare_runs import compare
    from ugatit_jax.devices.runtime import set_up_jax

    set_up_jax()
    took = {run.name: Took.of(run) for run in runs}
    speed = {name: {"steps/s": x.steps_per_second} for name, x in took.items() if x}
    print(compare(runs, out, speed, data=source))
    print(f"page: {out / 'comparison.html'}")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a module's docstring, and tells defaults."""
