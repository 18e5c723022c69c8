"""Trainings on pictures of all kinds, and on such as vanish, by the whole command."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mounted import fill, small_disk
from zoo import encode, picture, zoo

from ugatit_jax.console.errors import printable
from ugatit_jax.main import main
from ugatit_jax.runs.directory import saved_steps
from ugatit_jax.runs.integrity import find_damage
from ugatit_jax.training import loop

pytestmark = [
    pytest.mark.usefixtures("compiled_once"),
    # As outside tests, where `images` says so.
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def resident() -> int:
    """The largest memory that this process has taken so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The zoo in trainA, and beside it what no training waits for or follows."""
    folder = tmp_path / "data"
    for split in ("trainA", "trainB"):
        (folder / split).mkdir(parents=True)
    for i in range(3):
        picture().save(folder / "trainB" / f"{i}.png")
    for name, animal in zoo().items():
        (folder / "trainA" / name).write_bytes(animal.content)
    os.mkfifo(folder / "trainA" / "pipe.png")
    (folder / "trainA" / "folder.png").mkdir()
    for name, target in {"zero.png": "/dev/zero", "circle.png": "circle.png", "here": "."}.items():
        (folder / "trainA" / name).symlink_to(target)
    return folder


def test_the_zoo(
    data: Path, tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, memory = files_in(tmp_path), resident()
    workdir = tmp_path / "run"
    command = [*tiny_flags, f"--config.data.source={data}", f"--workdir={workdir}"]
    with pytest.raises(SystemExit, match="2"):
        main(command)
    head, *lines = capsys.readouterr().err.splitlines()
    bad = [x for x, y in zoo().items() if y.size is None and not x.startswith(".")]
    assert head.startswith(f"error: {len(bad)} unreadable pictures: repair or remove them, or")
    for name in bad:
        said = f"cannot read {printable(data / 'trainA' / name)}: "
        assert sum(line.startswith(said) for line in lines) == 1, name
    assert len(lines) == len(bad)
    assert files_in(tmp_path) - before == {workdir / ".lock"}
    assert resident() - memory < 2**29

    assert main([*command, "--config.data.skip_bad=True"]) == 0
    assert saved_steps(workdir)[-1] == 4
    said = capsys.readouterr().out
    assert f"left out {len(bad)} unreadable pictures:" in said
    assert "\x1b[2J" not in said and "\ttwo" not in said
    made = files_in(tmp_path) - before
    assert made and all(path.is_relative_to(workdir) for path in made)


def test_a_picture_that_is_gone_when_its_turn_comes(
    pictures: Path,
    tiny_flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, workdir = shutil.copytree(pictures, tmp_path / "data"), tmp_path / "run"
    command = [*tiny_flags, f"--config.data.source={data}", f"--workdir={workdir}"]
    command += ["--config.train.steps=400", "--config.data.cache_gib=0", "--config.samples.every=0"]
    command += ["--config.checkpoint.every=2"]
    advance: Callable[..., Any] = loop.Log.advance

    def meanwhile(log: loop.Log, step: int, *args: Any, **kwargs: Any) -> None:
        advance(log, step, *args, **kwargs)
        if step == 2:
            for i in range(0, 8, 2):
                (data / "trainB" / f"{i}.png").unlink()
                (data / "trainB" / f"{i + 1}.png").write_bytes(encode(picture(), "PNG")[:60])

    monkeypatch.setattr(loop.Log, "advance", meanwhile)
    with pytest.raises(SystemExit, match="2"):
        main(command)
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"error: cannot read {data / 'trainB'}/") and "leave it out" in last
    steps = saved_steps(workdir)
    assert steps and 2 <= max(steps) < 400
    assert [find_damage(workdir / "checkpoints", step) for step in steps] == [None] * len(steps)


def test_a_disk_that_is_full_for_a_while(
    tiny_flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The checkpoints of that time are lost, and no more."""
    advance: Callable[..., Any] = loop.Log.advance
    with small_disk(tmp_path / "disk", "64m") as disk:
        workdir = disk / "run"

        def meanwhile(log: loop.Log, step: int, *args: Any, **kwargs: Any) -> None:
            advance(log, step, *args, **kwargs)
            if step == 2:
                fill(disk)
            elif step == 4:
                (disk / "others").unlink()

        monkeypatch.setattr(loop.Log, "advance", meanwhile)
        command = [*tiny_flags, f"--workdir={workdir}", "--config.train.steps=6"]
        assert main([*command, "--config.samples.every=0", "--config.checkpoint.keep=9"]) == 0
        steps = saved_steps(workdir)
        assert {1, 5, 6} <= set(steps) and 3 not in steps
        assert [find_damage(workdir / "checkpoints", step) for step in steps] == [None] * len(steps)
    assert "was not saved: No space left on device" in caplog.text
