"""Help and mistakes come at once: what takes seconds to import is imported after them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = {"jax", "flax", "optax", "orbax", "matplotlib", "tensorflow", "clu", "scipy", "skimage"}
COMMANDS = ("main", "translate", "evaluate", "prefer", "plan", "export", "emoji")
RUN = """
import atexit, runpy, sys

atexit.register(lambda: print("imported:", *{name.partition(".")[0] for name in sys.modules}))
sys.argv[:] = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""
DEMO = "--config=configs/demo.py"


def run(command: str, *arguments: str) -> tuple[int, str, set[str]]:
    """The exit status, what was said on stderr, and the packages imported until the end."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN, f"ugatit_jax.{command}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    *_, last = ended.stdout.splitlines()
    assert last.startswith("imported: ") and "ugatit_jax" in last.split()
    return ended.returncode, ended.stderr, set(last.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_slow(command: str) -> None:
    status, error, imported = run(command, "--help")
    assert (status, error, imported & SLOW) == (0, "", set())


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("main", [DEMO, "--config.train.learning_rte=1"], "did you mean config.train.learning"),
        ("main", [f"{DEMO}:cyclegan", "--config.loss.pol=1"], "there is no field config.loss.pol"),
        ("main", [DEMO, "--config.train.steps=many"], "it must be a whole number"),
        ("main", ["--config=configs/none.py"], "there is no file configs/none.py"),
        ("main", [f"{DEMO}:dark"], "no variant 'dark'"),
        ("main", [DEMO, "--process_id=1"], "without --coordinator, --num_processes"),
        ("plan", [DEMO, "--config.train.learning_rte=1"], "did you mean config.train.learning"),
        ("plan", [DEMO], "nothing to plan for"),
        ("translate", ["no_run", "docs/demo.png", "--out=x", "--fit=all"], "invalid choice"),
        ("translate", ["no_run", "docs/demo.png", "--out=x"], "no run in no_run"),
        ("translate", ["no_run", "none.png", "--out=x"], "no picture or folder none.png"),
        ("evaluate", ["no_run", "--step=last"], "'last' is neither a number nor best"),
        ("evaluate", ["no_run"], "no run in no_run"),
        ("evaluate", ["docs", "none"], "no folder none"),
        ("prefer", ["docs"], "say --inputs"),
        (
            "prefer",
            ["docs", "no_run", "--inputs=docs", "--out=x", "--port=0"],
            "no translations in no_run",
        ),
        ("prefer", ["--report", "docs"], "no study in docs"),
        ("export", ["no_run", "--out=x"], "no run in no_run"),
        ("emoji", ["--size=large"], "'large' is no whole number"),
    ],
)
def test_a_mistake_imports_nothing_slow(command: str, arguments: list[str], words: str) -> None:
    status, error, imported = run(command, *arguments)
    assert status == 2 and words in error and error.count("\n") == 1
    assert not imported & SLOW
