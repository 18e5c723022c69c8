"""scalars.jsonl, whatever happened to the training that wrote it."""

import json
import math
from pathlib import Path

from ugatit_jax.training.scalars import NAME, ScalarLines


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / NAME).read_text().splitlines()]


def write(folder: Path, start: int, *logged: int) -> None:
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
