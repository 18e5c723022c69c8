"""Trainings that all take the same minutes, one after the other, and one comparison of all.

How many steps fit into the minutes is measured before each training, so that its learning rate
falls to 0 within them. Each is a process of its own, as in life; what is there already is not
trained again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from benchmarks.turns import CLOCKS
from ugatit_jax.config.flags import load_experiment, override
from ugatit_jax.console.errors import InputError

TRIAL = 30  # steps
FIRST = 3  # of them, which compile and warm up


class Took(NamedTuple):
    """What a training took: steps, minutes with all that is around them, and the trial's speed."""

    steps: int
    minutes: float
    steps_per_second: float

    @classmethod
    def of(cls, run_dir: Path) -> "Took | None":
        """Read it, or return None where the training was not finished."""
        file = run_dir.with_suffix(".json")
        return cls(**json.loads(file.read_text())) if file.exists() else None


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


def seconds_of(step: Callable[[], object], clock: str) -> float:
    """Return the seconds, by one of CLOCKS, of a function that does one step, by a trial."""
    times = []
    for _ in range(TRIAL):
        since = CLOCKS[clock]()
        step()
        times.append(CLOCKS[clock]() - since)
    return float(np.mean(times[FIRST:]))


class Trial(NamedTuple):
    """What is tried before a training: a function that does one step, by phase of the method.

    phase: the phase of a step, from 0.
    """

    steps: dict[str, Callable[[], object]]
    phase: Callable[[int], str]

    def steps_within(self, seconds: float, clock: str) -> int:
        """Return how many steps, of whatever phases are their turn, take so long."""
        cost = {phase: seconds_of(step, clock) for phase, step in self.steps.items()}
        count = 0
        while (seconds := seconds - cost[self.phase(count)]) >= 0:
            count += 1
        return count


def our_trial(config: ConfigDict) -> Trial:
    """Return the trial of a config's method, on noise."""
    import jax

    from benchmarks.step import set_up_step
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


def train_ours(experiment: str, config: ConfigDict, fields: Sequence[str], run_dir: Path) -> None:
    """Train by the program's own command, without what only people look at."""
    flags = [*fields, f"seed={config.seed}", f"train.steps={config.train.steps}"]
    flags += ["samples.every=0", "eval.every=0", f"checkpoint.every={config.train.steps}"]
    command = [sys.executable, "-m", "ugatit_jax.main", f"--config={experiment}"]
    command += [f"--workdir={run_dir}", *(f"--config.{flag}" for flag in flags)]
    if subprocess.run(command).returncode:
        raise InputError(f"{run_dir} could not be trained, as it said above")


def train_for(
    minutes: float,
    clock: str,
    config: ConfigDict,
    run_dir: Path,
    trial: Callable[[], Trial],
    train: Callable[[], None],
) -> None:
    """Train once, and write down what it took.

    trial: makes the trial that says how many steps the minutes have room for. train: trains for
    `config.train.steps`, which this sets, into `run_dir`.
    """
    steps = config.train.steps = max(2, trial().steps_within(60 * minutes, clock))
    print(f"{run_dir}: {steps} steps", flush=True)
    since = time.perf_counter()
    train()
    took = Took(steps, (time.perf_counter() - since) / 60, steps / (60 * minutes))
    run_dir.with_suffix(".json").write_text(json.dumps(took._asdict()) + "\n")


def train_all(
    module: str, names: Sequence[str], seeds: Sequence[int], out: Path
) -> dict[str, list[Path]]:
    """Run 'python -m MODULE … --one NAME SEED' for each that is not there; returns all by name.

    The other arguments are this program's own.
    """
    out.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Path]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            runs[name].append(out / f"{name}-{seed}")
            if Took.of(runs[name][-1]) is None:
                this = [sys.executable, "-m", module, *sys.argv[1:], "--one", name, str(seed)]
                if subprocess.run(this).returncode:
                    raise InputError(f"{runs[name][-1]} could not be trained, as it said above")
    return runs


def compare_all(runs: Mapping[str, Sequence[Path]], source: str, out: Path) -> None:
    """Lay all runs side by side, with the speed of each, into `out`."""
    from ugatit_jax.comparison.compare_runs import compare
    from ugatit_jax.devices.runtime import set_up_jax

    set_up_jax()
    everything = [run for of_one in runs.values() for run in of_one]
    took = {run.name: Took.of(run) for run in everything}
    speed = {name: {"steps/s": x.steps_per_second} for name, x in took.items() if x}
    print(compare(everything, out, speed, data=source))
    print(f"page: {out / 'comparison.html'}")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a module's docstring, and tells defaults."""
