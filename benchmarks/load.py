"""What a long training and a large data set take: memory, open files, threads, compilations, time.

    python -m benchmarks.load training
    python -m benchmarks.load pictures

The first trains a tiny model with logs, grids, KIDs and checkpoints, and reads at each checkpoint
what its process holds. The second begins, and goes on with, a training on folders of many small
pictures, hard links of a few. Both run `ugatit_jax.main` as it is, and look at it from outside.
Linux only.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
TINY = {
    "model.base_width": 4,
    "model.residual_blocks": 1,
    "model.local_layers": 3,
    "model.global_layers": 4,
    "data.image_size": (32, 32),
    "samples.count": 2,
    "eval.features": "efficientnet-lite0",
}
COMPILED = re.compile(r"Finished XLA compilation of (\S+) in")
FIRST_BATCH = "compiling the training step"  # what is said when the first batch is there


class Held(NamedTuple):
    """What a process holds: memory in KiB, numbers of open files and threads."""

    step: int
    resident: int
    files: int
    threads: int


def make_pictures(folder: Path, counts: dict[str, int]) -> None:
    """Fill folders with hard links of eight small PNGs."""
    rng, originals = np.random.default_rng(0), folder / "originals"
    originals.mkdir(parents=True)
    for i in range(8):
        noise = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(noise).save(originals / f"{i}.png")
    for split, count in counts.items():
        (folder / split).mkdir()
        for i in range(count):
            os.link(originals / f"{i % 8}.png", folder / split / f"{i:06}.png")


class Run:
    """A training in a process of its own."""

    def __init__(
        self, workdir: Path, pictures: Path, fields: Mapping[str, object], *more: str
    ) -> None:
        flags = {**TINY, "data.source": pictures, **fields}
        environment = {"JAX_PLATFORMS": "cpu", "JAX_LOG_COMPILES": "1", "PYTHONUNBUFFERED": "1"}
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ugatit_jax.main",
                "--config=configs/default.py:light",
                f"--workdir={workdir}",
                *(f"--config.{name}={value}" for name, value in flags.items()),
                *more,
            ],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.lines: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic() - self.begin, line))

    def status(self, field: str) -> int:
        """Return a number of /proc/PID/status, such as VmRSS in KiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split(f"{field}:")[1].split()[0])

    def held(self, step: int) -> Held:
        """Return what it holds now."""
        files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return Held(step, self.status("VmRSS"), files, self.status("Threads"))

    def cpu_seconds(self) -> float:
        """Return the CPU time that it took so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def finish(self) -> None:
        """Wait for its end. Raises `RuntimeError` if it is none that it should have."""
        status = self.process.wait()
        self._reader.join()
        if status:
            raise RuntimeError("".join(line for _, line in self.lines[-40:]))


def measure_training(steps: int, every: int) -> None:
    """Print what a long training holds, and how that grows with its steps."""
    with tempfile.TemporaryDirectory() as folder:
        pictures, workdir = Path(folder, "pictures"), Path(folder, "run")
        make_pictures(pictures, {"trainA": 40, "trainB": 40, "testA": 8, "testB": 8})
        fields = {
            "log_every": 10,
            "train.steps": steps,
            "train.ema_decay": 0.99,
            "checkpoint.every": every,
            "samples.every": every,
            "eval.every": 2 * every,
        }
        run = Run(workdir, pictures, fields)
        found: list[Held] = []
        compiled: dict[int, int] = {}
        while run.process.poll() is None:
            numbers = [int(x.name) for x in workdir.glob("checkpoints/*") if x.name.isdigit()]
            step = max(numbers, default=0)
            if step > (found[-1].step if found else 0):
                found.append(run.held(step))
                compiled[step] = sum("Finished XLA" in line for _, line in [*run.lines])
                print(*found[-1], compiled[step], flush=True)
            time.sleep(0.05)
        run.finish()
        seconds = time.monotonic() - run.begin
    names = [match[1] for _, line in run.lines if (match := COMPILED.search(line))]
    # Not the last one: what ends a training, such as the film of its grids, comes on top of it.
    settled = [x for x in found if steps / 4 <= x.step < steps]
    slopes = {
        name: 1000
        * np.polyfit([x.step for x in settled], [getattr(x, name) for x in settled], 1)[0]
        for name in ("resident", "files", "threads")
    }
    first, last = settled[0], settled[-1]
    print(f"{steps:,} steps in {seconds:,.0f} s; slopes per 1,000 steps:")
    print(f"| | step {first.step:,} | step {last.step:,} | slope |\n|---|---:|---:|---:|")
    print(f"| resident, KiB | {first.resident:,} | {last.resident:,} | {slopes['resident']:+.1f} |")
    for name in ("files", "threads"):
        then, now = getattr(first, name), getattr(last, name)
        print(f"| {name} | {then} | {now} | {slopes[name]:+.3f} |")
    trained = [name for name in names if "step" in name]
    print(
        f"{len(names)} programs compiled, {len(names) - compiled[first.step]} of them after step "
        f"{first.step:,}; training steps: {', '.join(trained) or 'none'}"
    )


def measure_pictures(counts: list[int]) -> None:
    """Print what it takes to begin, and to go on, with so many training pictures."""
    print(
        "| pictures | start to first batch, s | CPU s | most memory, MiB | going on, s | CPU s | "
        "most memory, MiB |\n|---:|---:|---:|---:|---:|---:|---:|"
    )
    for count in counts:
        with tempfile.TemporaryDirectory(dir=ROOT) as folder:
            pictures, workdir = Path(folder, "pictures"), Path(folder, "run")
            make_pictures(pictures, {"trainA": count // 2, "trainB": count // 2})
            cells = []
            for steps in (1, 2):
                fields = {"train.steps": steps, "data.cache_gib": 0.0, "eval.every": 0}
                run = Run(workdir, pictures, fields, "--continue")
                cells += _until_the_first_batch(run)
            print(f"| {count:,} | {' | '.join(cells)} |", flush=True)


def _until_the_first_batch(run: Run) -> list[str]:
    while run.process.poll() is None:
        for seconds, line in [*run.lines]:
            if FIRST_BATCH in line:
                cells = [f"{seconds:.1f}", f"{run.cpu_seconds():.1f}"]
                cells.append(f"{run.status('VmHWM') / 1024:,.0f}")
                run.finish()
                return cells
        time.sleep(0.01)
    run.finish()
    raise RuntimeError(f"it never said {FIRST_BATCH!r}")


def main() -> None:
    """Run one of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("training", "pictures"))
    parser.add_argument("--steps", type=int, default=20_000, help="of the training")
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="of pictures"
    )
    args = parser.parse_args()
    if args.what == "training":
        measure_training(args.steps, args.every)
    else:
        measure_pictures(args.counts)


if __name__ == "__main__":
    main()
