"""A training that is killed again and again, against the same one that nobody touched.

python -m benchmarks.chaos --out runs/chaos

Each start is a real `python -m ugatit_jax.main`, and each kill a SIGKILL: in a step, while a
checkpoint is written, while KID is measured, while a grid is drawn, or at any time of the start. In
which of them a process is, `killing/told_main.py` tells. At the end, checkpoints, scalars, grids
and KIDs have to be the same, bit for bit, and each to be there once. Then the same training changes
its devices on the way, with losses that have to be the same but for rounding.

Networks are tiny: what is tried is all around them. Ends with status 1 if anything differs.
"""

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from benchmarks.killing.same_runs import compare, largest_change
from ugatit_jax.console.errors import InputError, exit_on_input_error

ROOT = Path(__file__).parents[1]
PHASES = ("start", "step", "checkpoint", "KID", "grid")
LIMIT = 1_800  # s that one start may take
POLL = 0.01  # s
TOLERANCE = 0.05  # of a loss, relative, when the number of devices changes

# Every kind of state is in one of the two: singular vectors, and a pool.
NETWORKS: dict[str, dict[str, object]] = {
    "ugatit": {
        "model.light": True,
        "model.base_width": 4,
        "model.residual_blocks": 1,
        "model.local_layers": 3,
        "model.global_layers": 4,
    },
    "cyclegan": {
        "model.base_width": 4,
        "model.residual_blocks": 1,
        "model.discriminator_layers": 1,
        "loss.pool": 4,
        "data.image_size": (16, 16),
    },
}
COMMON: dict[str, object] = {
    "data.image_size": (32, 32),
    "train.ema_decay": 0.75,
    "log_every": 1,
    "samples.every": 7,
    "samples.count": 2,
    "eval.every": 15,
    "eval.features": "efficientnet-lite0",
    "checkpoint.every": 5,
    "checkpoint.keep": 3,
    "checkpoint.keep_every": 40,
}
# Compiled once for all starts, and plainly.
COMPILING = {
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


class Kill(NamedTuple):
    """When to kill: at a sight of a phase after so many others, or so many seconds, of it."""

    phase: str
    after: float


class Trial:
    """A training with what it needs: pictures, a command, and a place for what is compiled."""

    def __init__(self, method: str, steps: int, out: Path, batch_size: int = 1) -> None:
        self.steps, self._out = steps, out
        pictures = out / "pictures"
        if not pictures.exists():
            make_pictures(pictures)
        fields = (
            COMMON
            | NETWORKS[method]
            | {
                "train.steps": steps,
                "train.batch_size": batch_size,
                "data.source": pictures,
            }
        )
        self._command = [
            *(sys.executable, "-m", "benchmarks.killing.told_main"),
            f"--config={ROOT / 'configs' / 'default.py'}:{method}",
            *(f"--config.{name}={value}" for name, value in fields.items()),
        ]
        compiled = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(out / "compiled"))
        self._environment = COMPILING | {"JAX_COMPILATION_CACHE_DIR": compiled}

    def start(self, workdir: Path, devices: int = 1) -> "Running":
        """Start it, or go on with it, in a run directory."""
        workdir.parent.mkdir(parents=True, exist_ok=True)
        phase = workdir.with_name(f"{workdir.name}.phase")
        phase.unlink(missing_ok=True)
        environment = self._environment | {
            "JAX_NUM_CPU_DEVICES": str(devices),
            "PHASE": str(phase),
        }
        with workdir.with_name(f"{workdir.name}.log").open("a") as log:
            process = subprocess.Popen(
                [*self._command, f"--workdir={workdir}"],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )
        return Running(process, workdir, phase)

    def finish(self, workdir: Path) -> None:
        """Train to the end. Raises `RuntimeError` if that does not work."""
        with self.start(workdir) as running:
            running.wait()


class Running:
    """A training under way; leaving its block kills it."""

    def __init__(self, process: subprocess.Popen, workdir: Path, phase: Path) -> None:
        self._process, self._workdir, self._phase = process, workdir, phase
        self._since = time.monotonic()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self) -> None:
        """Wait for its end. Raises `RuntimeError` if that was no good one."""
        if status := self._process.wait(LIMIT):
            raise RuntimeError(f"a training ended with {status}: see {self._workdir}.log")

    def phases(self) -> Iterator[str]:
        """Tell where it is, again and again, until it ends."""
        while self._process.poll() is None:
            if time.monotonic() > self._since + LIMIT:
                raise RuntimeError(f"a training takes too long: see {self._workdir}.log")
            yield self.phase()
            time.sleep(POLL)

    def phase(self) -> str:
        """Tell where it is: one of PHASES."""
        said = self._phase.read_text().strip() if self._phase.exists() else ""
        unfinished = (self._workdir / "checkpoints").glob("*tmp*")
        return "checkpoint" if said == "step" and any(unfinished) else said or "start"

    def kill_at(self, kill: Kill) -> str | None:
        """Kill it where it is to be killed; return where it was, or None if it ended before."""
        sights, since, before = 0, None, None
        for phase in self.phases():
            if phase == kill.phase:
                sights += phase != before
                since = since or time.monotonic()
                timed = kill.phase in ("start", "step")
                if (time.monotonic() - since if timed else sights) > kill.after:
                    break
            elif kill.phase == "start":  # it was faster
                break
            before = phase
        else:
            self.wait()
            return None
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL
        return phase


def make_pictures(folder: Path) -> None:
    """Noise of many colours: a loss tells one batch from another."""
    rng = np.random.default_rng(0)
    for split, count in (("trainA", 23), ("trainB", 19), ("testA", 4), ("testB", 4)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            colour, contrast = rng.uniform(0, 255, 3), rng.uniform(0, 80)
            levels = colour + contrast * rng.normal(size=(40, 36, 3))
            picture = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
            picture.save(folder / split / f"{i}.png")


def plan_kills(count: int, seed: int, start: float) -> list[Kill]:
    """Return when to kill, each phase about as often; start: seconds that a start takes."""
    rng = random.Random(seed)
    phases = [PHASES[i % len(PHASES)] for i in range(count)]
    rng.shuffle(phases)
    return [
        Kill(
            phase,
            {"start": rng.uniform(0, start), "step": rng.uniform(0, 1.5)}.get(
                phase, rng.randrange(2)
            ),
        )
        for phase in phases
    ]


def try_kills(trial: Trial, kills: Sequence[Kill], workdir: Path) -> Counter[str]:
    """Kill a training as planned, go on after each, to its end; return the kills by phase."""
    done: Counter[str] = Counter()
    for kill in kills:
        with trial.start(workdir) as running:
            phase = running.kill_at(kill)
        if phase is None:
            break
        done[phase] += 1
        steps = sorted(int(x.name) for x in (workdir / "checkpoints").glob("*") if x.name.isdigit())
        print(f"killed: {phase}; the newest checkpoint is {steps[-1:] or 'none'}", flush=True)
    trial.finish(workdir)
    return done


def try_devices(trial: Trial, devices: Sequence[int], folder: Path) -> float:
    """Train a part of the steps on so many devices, and the next on others, with kills between.

    Returns by how much a loss is off, at most, from that of a training on the first ones alone.
    """
    with trial.start(folder / "same_devices", devices[0]) as running:
        running.wait()
    workdir = folder / "other_devices"
    for number, count in enumerate(devices[:-1], 1):
        until = trial.steps * number // len(devices)
        with trial.start(workdir, count) as running:
            for _ in running.phases():
                names = [x.name for x in (workdir / "checkpoints").glob("*")]
                if any(name.isdigit() and int(name) >= until for name in names):
                    break
    with trial.start(workdir, devices[-1]) as running:
        running.wait()
    return largest_change(folder / "same_devices", workdir)


def measure_start(trial: Trial, workdir: Path) -> float:
    """Train to the end; return the seconds before the first step, which may have compiled it."""
    since = time.monotonic()
    with trial.start(workdir) as running:
        for phase in running.phases():
            if phase != "start":
                break
        seconds = time.monotonic() - since
        running.wait()
    return seconds


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Print a table in Markdown; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--methods", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--kills", type=int, default=20, help="of each method's training")
    parser.add_argument("--steps", type=int, default=240, help="of each training")
    parser.add_argument(
        "--devices", type=int, nargs="*", default=[8, 2, 1], help="one by one, in a quarter of them"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    flags = parser.parse_args(argv)
    jax.config.update("jax_platforms", "cpu")  # to compare
    if flags.out.exists() and any(flags.out.iterdir()):
        raise InputError(f"{flags.out} is not empty: take another --out")
    flags.out.mkdir(parents=True, exist_ok=True)
    rows, differences = [], []
    for method in flags.methods:
        trial, folder = Trial(method, flags.steps, flags.out), flags.out / method
        start = measure_start(trial, folder / "straight")
        kills = plan_kills(flags.kills, flags.seed, start)
        done = try_kills(trial, kills, folder / "killed")
        found = compare(folder / "straight", folder / "killed")
        differences += [f"{method}: {said}" for said in found.differences]
        if done.total() < flags.kills:
            differences.append(f"{method}: it was over after {done.total()} kills: more --steps")
        by_phase = ", ".join(f"{done[phase]} {phase}" for phase in PHASES)
        change = "not tried"
        if flags.devices:
            batch_size = math.lcm(*flags.devices)
            trial = Trial(method, flags.steps // 4, flags.out, batch_size)
            largest = try_devices(trial, flags.devices, folder)
            change = f"{largest:.1e}"
            if not largest < TOLERANCE:
                differences.append(
                    f"{method}: on {flags.devices} devices a loss is off by {change}"
                )
        rows.append(
            f"| {method} | {done.total()} | {by_phase} | {found.arrays} | {found.points} | "
            f"{len(found.differences)} | {change} |"
        )
    print("\n| method | kills | where | arrays | points | differ | other devices |")
    print("|---|---:|---|---:|---:|---:|---:|")
    print("\n".join([*rows, *differences]))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
