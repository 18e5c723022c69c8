"""How long a command takes to say something on this machine, and training to do its first step.

python -m benchmarks.startup
"""

import argparse
import os
import pty
import re
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO = "--config=configs/demo.py"
# The bar of the training, not that of what it reads before.
SECOND_STEP = rb" (?:[2-9]|\d\d+)/\d+ \[[^\]\r]*(?:step/s|s/step)"
# A command, and a mistake on its command line.
COMMANDS = {
    "main": [DEMO, "--config.train.learning_rte=1"],
    "plan": [DEMO, "--config.train.learning_rte=1"],
    "translate": ["docs", "docs/demo.png", "--out=translated", "--step=last"],
    "evaluate": ["docs", "--step=last"],
    "export": ["docs", "--out=exported", "--step=last"],
    "emoji": ["--size=large"],
}


def time_command(name: str, arguments: list[str], status: int) -> float:
    """Return the seconds that a command takes to its end, with the exit status that it must have.

    Raises `RuntimeError` if it has another one.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-m", f"ugatit_jax.{name}", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if ended.returncode != status:
        raise RuntimeError(f"{name} {arguments} ended with {ended.returncode}: {ended.stderr}")
    return seconds


def time_first_step(workdir: Path, programs: Path) -> float:
    """Return the seconds until the demo, in a new workdir, has done its first step; then end it.

    programs: the folder of JAX's compilation cache. Raises `RuntimeError` if it ends before that.
    """
    # On a terminal the bar is drawn at once. At 2 the first step is finished; at 1 it may not be.
    terminal, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, (24, 200))
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(programs)}
    begin = time.perf_counter()
    training = subprocess.Popen(
        [sys.executable, "-m", "ugatit_jax.main", DEMO, f"--workdir={workdir}"],
        cwd=ROOT,
        env=environment,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    said = b""
    try:
        while not re.search(SECOND_STEP, said):
            try:
                said += os.read(terminal, 2**16)
            except OSError:  # how Linux says that nobody is at the other end
                raise RuntimeError(f"training ended:\n{said.decode(errors='replace')}") from None
        return time.perf_counter() - begin
    finally:
        training.kill()
        training.wait()
        os.close(terminal)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="to take the median of; default: 5")
    rounds = range(parser.parse_args().rounds)
    print("| command | `--help`, s | a mistake, s |\n|---|---|---|")
    for name, mistake in COMMANDS.items():
        helped = statistics.median(time_command(name, ["--help"], 0) for _ in rounds)
        refused = statistics.median(time_command(name, mistake, 2) for _ in rounds)
        print(f"| `{name}` | {helped:.2f} | {refused:.2f} |", flush=True)
    subprocess.run([sys.executable, "-m", "ugatit_jax.emoji"], cwd=ROOT, check=True, stdout=2)
    cold: list[float] = []
    warm: list[float] = []
    for _ in rounds:
        with tempfile.TemporaryDirectory() as folder:
            for times, name in ((cold, "cold"), (warm, "warm")):
                times.append(time_first_step(Path(folder, name), Path(folder, "programs")))
    print("\n| the demo's first step | s |\n|---|---|")
    print(f"| nothing compiled before | {statistics.median(cold):.1f} |")
    print(f"| started before | {statistics.median(warm):.1f} |")


if __name__ == "__main__":
    main()
