"""Weights & Biases, by its own program, offline: what it has written is read back."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.main import main
from ugatit_jax.training.log import Log
from ugatit_jax.training.tracking import Tracker

wandb = pytest.importorskip("wandb")
from wandb.proto.wandb_internal_pb2 import Record  # noqa: E402

BLOCK = 32768  # bytes, as LevelDB's logs have them


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = str(tmp_path_factory.mktemp("home"))
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, home)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()  # it has read an earlier test's


def records(file: Path) -> Iterator[Any]:
    """What a file of the program's has, in the form of LevelDB's logs."""
    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def parts(workdir: Path) -> list[tuple[Any, dict[int, dict[str, Any]]]]:
    """Of each start, in their order: the run, and {step: {name: value}}."""
    wandb.teardown()  # its program writes on after a run has ended
    files = (workdir / "wandb").glob("offline-run-*/run-*.wandb")
    found = []
    for file in sorted(files, key=lambda file: file.stat().st_mtime):
        history: dict[int, dict[str, Any]] = {}
        run = None
        for record in records(file):
            run = record.run if record.WhichOneof("record_type") == "run" else run
            items = {
                x.key or ".".join(x.nested_key): json.loads(x.value_json)
                for x in record.history.item
            }
            if items:
                own = {name: value for name, value in items.items() if not name.startswith("_")}
                history[record.history.step.num] = own
        found.append((run, history))
    return found


def config_for(project: str) -> ConfigDict:
    config = get_config()
    config.wandb = project
    return config


def test_a_run_that_goes_on_is_the_same_run_there(tmp_path: Path) -> None:
    workdir = tmp_path / "faces-1"
    workdir.mkdir()
    grid = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    for start in (0, 3):
        with Tracker.open(config_for("team/faces"), workdir, start, print) as tracker:
            for step in range(start + 1, start + 4):
                tracker.scalars(step, {"generator/cycle": step / 4})
            tracker.grid(start + 3, grid)
            tracker.scalars(start + 3, {"kid_x100/a2b": 1.5})
    (first, early), (second, late) = parts(workdir)
    assert first.run_id == second.run_id
    for run in (first, second):
        assert (run.entity, run.project, run.display_name) == ("team", "faces", "faces-1")
        sent = {x.key: json.loads(x.value_json) for x in run.config.update}
        assert sent["train.steps"] == 1_000_000 and sent["data.image_size"] == [256, 256]
    assert [*early] == [1, 2, 3] and [*late] == [4, 5, 6]
    assert early[1] == {"generator/cycle": 0.25}
    assert late[6]["generator/cycle"] == 1.5 and late[6]["kid_x100/a2b"] == 1.5
    sample = next((workdir / "wandb").glob(f"*/files/{late[6]['samples.path']}"))
    np.testing.assert_array_equal(np.asarray(Image.open(sample)), grid)


def test_another_project_and_a_new_beginning_are_other_runs(tmp_path: Path) -> None:
    names = []
    for project, start in (("faces", 0), ("faces", 2), ("cats", 2), ("cats", 0)):
        with Tracker.open(config_for(project), tmp_path, start, print):
            kept = json.loads((tmp_path / "wandb.json").read_text())
        assert kept["project"] == project
        names.append(kept["id"])
    assert names[0] == names[1] and len(set(names)) == 3


def test_what_was_sent_is_kept_and_not_sent_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_SILENT")
    with Tracker.open(config_for("faces"), tmp_path, 0, print) as tracker:
        for step, value in ((1, 1), (2, 2), (3, 3), (2, 20), (3, 30), (4, 40)):
            tracker.scalars(step, {"x": value})
    assert "less than the current step" not in capfd.readouterr().err
    ((_, history),) = parts(tmp_path)
    assert history[1] == {"x": 1} and history[2] == {"x": 2} and history[4] == {"x": 40}


def test_without_a_project_there_is_nothing(tmp_path: Path) -> None:
    with Tracker.open(config_for(""), tmp_path, 0, print) as tracker:
        tracker.scalars(1, {"x": 1.0})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("project", ["faces", "a:b"])
def test_who_is_not_logged_in_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    with pytest.raises(InputError) as error:
        Tracker.open(config_for(project), tmp_path, 0, print)
    said = str(error.value)
    assert said.startswith(f"config.wandb is {project!r}, which Weights & Biases does not open (")
    assert "`wandb login`" in said and "\n" not in said
    assert not (tmp_path / "wandb.json").exists()


def test_a_service_that_is_gone_ends_no_training(tmp_path: Path) -> None:
    said: list[str] = []
    with Tracker.open(config_for("faces"), tmp_path, 0, said.append) as tracker:
        tracker.scalars(1, {"x": 1.0})
        tracker._run.finish()
        tracker.scalars(2, {"x": 2.0})
        tracker.scalars(3, {"x": 3.0})
    assert len(said) == 1 and said[0].startswith("nothing more goes to Weights & Biases: ")


def test_the_log_sends_what_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jax.numpy as jnp

    from ugatit_jax.methods import METHODS, build_method
    from ugatit_jax.methods.state import create_state

    monkeypatch.setitem(METHODS, "toy", ("toy_method", "toy_method:Toy"))
    config = get_config("toy")
    config.wandb = "faces"
    method = build_method(config)
    state = create_state(method, config.train, seed=0)
    with (
        Tracker.open(config, tmp_path, 0, print) as tracker,
        Log(method, config.train, 2, tmp_path, 0, tracker) as log,
    ):
        for step in range(1, 5):
            log.advance(step, state, {"x": jnp.asarray(float(step))}, force=False)
        log.write_grid(4, np.zeros((8, 8, 3), np.uint8), {})
        log.write_kids(4, {"a2b": 0.02})
    ((_, history),) = parts(tmp_path)
    logged: dict[int, dict[str, Any]] = {}
    for line in (tmp_path / "scalars.jsonl").read_text().splitlines():
        values = json.loads(line)
        logged.setdefault(values.pop("step"), {}).update(values)
    sent = {
        step: {k: v for k, v in values.items() if not k.startswith("samples")}
        for step, values in history.items()
    }
    assert sent == logged and "kid_x100/a2b" in logged[4]
    assert history[4]["samples.width"] == 8


def test_a_package_that_is_missing_is_told_before_anything_else(
    tmp_path: Path,
    tiny_flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *x: None if name == "wandb" else find_spec(name)
    )
    with pytest.raises(SystemExit, match="2"):
        main([*tiny_flags, "--config.wandb=faces", f"--workdir={tmp_path / 'run'}"])
    said = capsys.readouterr()
    assert said.err == (
        "error: config.wandb needs more than is installed (wandb is not): "
        'pip install "ugatit_jax[wandb]"\n'
    )
    assert said.out == "" and not (tmp_path / "run").exists()


@pytest.mark.thorough  # it compiles two training steps, for what the others say of the parts
def test_a_training_and_its_second_half(tmp_path: Path, tiny_flags: list[str]) -> None:
    workdir = tmp_path / "run"
    command = [*tiny_flags, "--config.wandb=faces", f"--workdir={workdir}"]
    assert main([*command, "--config.train.steps=2"]) == 0
    assert main([*command, "--continue"]) == 0
    (first, early), (second, late) = parts(workdir)
    assert first.run_id == second.run_id
    steps = [*early, *late]
    assert sorted(set(steps) & {1, 2, 3, 4}) == [1, 2, 3, 4] and not {1, 2} & late.keys()
    for history in (early[2], late[4]):
        assert "generator/cycle" in history
        assert history["samples._type"] == "image-file"
    assert main(command) == 0  # nothing is left to do, and nothing is begun there
    assert len(parts(workdir)) == 2
