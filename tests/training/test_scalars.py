"""scalars.jsonl, whatever happened to the training that wrote it."""

import json
import math
from pathlib import Path

from bucket import Store

from ugatit_jax.data import storage
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.training.scalars import NAME, ScalarLines


def steps(folder: AnyPath) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / NAME).read_text().splitlines()]


def write(folder: AnyPath, start: int, *logged: int) -> None:
    lines = ScalarLines(folder, silent=False, start=start)
    for step in logged:
        lines.write(step, {"loss": 0.5 * step})
    lines.close()


def test_a_resumed_run_has_every_step_once(tmp_path: Path) -> None:
    write(tmp_path, 0, 10, 20, 30)
    with (tmp_path / NAME).open("a") as file:
        file.write('{"step": 40, "lo')  # killed while it was written
    write(tmp_path, 20, 30, 40)
    assert steps(tmp_path) == [10, 20, 30, 40]
    write(tmp_path, 0, 10)  # from the beginning
    assert steps(tmp_path) == [10]
    assert json.loads((tmp_path / NAME).read_text()) == {"step": 10, "loss": 5.0}


def test_what_is_not_finite_is_null_and_others_are_silent(tmp_path: Path) -> None:
    lines = ScalarLines(tmp_path, silent=False, start=0)
    lines.write(1, {"loss": math.nan, "other": math.inf, "third": 1.5})
    lines.close()
    text = (tmp_path / NAME).read_text()
    assert json.loads(text) == {"step": 1, "loss": None, "other": None, "third": 1.5}
    ScalarLines(tmp_path, silent=True, start=0).write(2, {"loss": 1.0})
    assert (tmp_path / NAME).read_text() == text


def test_the_same_in_a_bucket(bucket: Store) -> None:
    run = storage.open_path("gs://bucket/logged")
    write(run, 0, 10, 20, 30)
    write(run, 20, 30, 40)
    assert steps(run) == [10, 20, 30, 40]
    killed = ScalarLines(run, silent=False, start=40)
    killed.write(50, {"loss": 1.0})
    killed.send()
    killed.write(60, {"loss": 1.0})  # and no more
    write(run, 40, 50, 60)
    assert steps(run) == [10, 20, 30, 40, 50, 60]
