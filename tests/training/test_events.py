"""What event files say after a run was killed, as TensorBoard's own reader tells."""

import re
import shutil
from pathlib import Path

import pytest
from bucket import Store
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from ugatit_jax.data import storage
from ugatit_jax.training.events import EventFiles, forget_after


def write(workdir: Path, start: int, steps: range) -> None:
    events = EventFiles(workdir, silent=False, start=start)
    for step in steps:
        events.writer.write_scalars(step, {"x": 1.0, **({"y": 2.0} if step % 4 == 0 else {})})
    events.close()


def steps(workdir: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for file in files(workdir):
        events = EventAccumulator(str(file), size_guidance={"tensors": 0}).Reload()
        for tag in events.Tags()["tensors"]:
            found.setdefault(tag, []).extend(x.step for x in events.Tensors(tag))
    return found


def files(workdir: Path) -> list[Path]:
    """Event files as they were written: within a second, their names count the process's files."""
    return sorted(
        workdir.glob("events.*"), key=lambda file: [int(x) for x in re.findall(r"\d+", file.name)]
    )


def test_every_step_is_there_once_wherever_a_run_was_killed(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 10))
    write(tmp_path, 5, range(6, 9))  # gone on from its checkpoint 5
    write(tmp_path, 2, range(3, 13))  # 5 was damaged
    assert steps(tmp_path) == {"x": [*range(1, 13)], "y": [4, 8, 12]}
    before = {path: path.read_bytes() for path in files(tmp_path)}
    write(tmp_path, 12, range(13, 14))
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("lost", [1, 5, 13, 40])
def test_a_record_that_was_being_written(tmp_path: Path, lost: int) -> None:
    write(tmp_path, 0, range(1, 6))
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:-lost])
    forget_after(tmp_path, 3)
    write(tmp_path, 3, range(4, 8))
    assert steps(tmp_path) == {"x": [*range(1, 8)], "y": [4]}


def test_what_is_no_event_file_is_left_to_those_who_read_it(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "huge": b"\xff" * 40, "text": b"no events" * 9}.items():
        (tmp_path / f"events.out.tfevents.{name}").write_bytes(content)
        (tmp_path / name).write_bytes(content)
    forget_after(tmp_path, 3)
    assert (tmp_path / "text").read_bytes() == b"no events" * 9


def test_the_same_in_a_bucket(tmp_path: Path, bucket: Store) -> None:
    write(tmp_path, 0, range(1, 10))
    (file,) = files(tmp_path)
    name = f"killed/{file.name}"
    bucket.put("bucket", name, file.read_bytes())
    forget_after(storage.open_path("gs://bucket/killed"), 5)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / file.name).write_bytes(bucket.objects["bucket", name][1])
    assert steps(tmp_path / "there") == {"x": [1, 2, 3, 4, 5], "y": [4]}
    shutil.rmtree(tmp_path / "there")
