"""Run directories on a disk that is really full or must not be written to: a small tmpfs."""

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from mounted import fill, mount, small_disk
from test_checkpoints import assert_same, make_state, restore, steps_in

from ugatit_jax import export, translate
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.inference.translator import Translator
from ugatit_jax.main import main
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs.checkpoints import open_checkpoints, save
from ugatit_jax.runs.integrity import find_damage

GOLDEN = Path(__file__).parents[1] / "golden" / "format_1"
# Writes of Orbax's that are still under way when another fails find its event loop closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "4m") as folder:
        yield folder


def large_state(step: int) -> TrainState:
    numbers = np.random.default_rng(step).normal(size=100_000).astype(np.float32)
    state = dataclasses.replace(make_state(step), other={"spectral": {"a": numbers}})
    return jax.device_put(state, replicated(make_mesh(jax.devices()[:1])))


def test_a_full_disk_costs_the_checkpoints_that_it_has_no_room_for(
    disk: Path, tiny_config: Callable[[], ConfigDict], caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config()
    method, workdir = build_method(config), disk / "run"
    with open_checkpoints(workdir, config.checkpoint) as manager:
        save(manager, method, large_state(1))
        manager.wait_until_finished()
        others = fill(disk)
        with caplog.at_level(logging.WARNING):
            save(manager, method, large_state(2))
            while manager.is_saving_in_progress():
                pass
        others.unlink()
        save(manager, method, large_state(3))
    assert "was not saved: No space left on device" in caplog.text
    assert "2" not in steps_in(workdir) and {"1", "3"} <= steps_in(workdir)
    assert [find_damage(workdir / "checkpoints", step) for step in (1, 3)] == [None, None]
    assert_same(restore(workdir, config, large_state(0)), large_state(3))


def refusal(
    run: Callable[[list[str]], object], command: list[str], capsys: pytest.CaptureFixture[str]
) -> str:
    with pytest.raises(SystemExit, match="2"):
        run(command)
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1, said
    return said


def test_a_disk_that_must_not_be_written_to(
    disk: Path,
    tiny_flags: list[str],
    tmp_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What only reads works there; what writes says so in a line."""
    run = shutil.copytree(GOLDEN / "run", disk / "run")
    assert mount("-o", "remount,ro", str(disk))
    assert "Read-only file system" in refusal(main, [*tiny_flags, f"--workdir={disk}/new"], capsys)
    of_run = [f"--config={run / 'config.json'}", f"--config.data.source={pictures}"]
    said = refusal(main, [*of_run, "--config.train.batch_size=8", f"--workdir={run}"], capsys)
    assert f"{run}/.lock: Read-only file system" in said
    inputs = [str(run), str(pictures / "testA")]
    assert f"cannot write into --out {disk}/out: Read-only" in refusal(
        translate.main, [*inputs, f"--out={disk}/out"], capsys
    )
    assert "Read-only file system" in refusal(
        export.main, [str(run), f"--out={disk}/export"], capsys
    )
    assert Translator.load(run).step == 3
    assert steps_in(run) == {"3"}


def test_no_room_for_what_is_exported(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing half written is left there."""
    fill(disk)
    there = {*disk.iterdir()}
    said = refusal(export.main, [str(GOLDEN / "run"), f"--out={disk}/export"], capsys)
    assert "No space left on device" in said
    assert {*disk.iterdir()} == there
