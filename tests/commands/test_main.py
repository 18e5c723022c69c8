"""The program as a user runs it: a mistake ends it in one line, before anything is compiled."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from ugatit_jax.console.errors import TransientError, exit_on_input_error
from ugatit_jax.devices import runtime
from ugatit_jax.main import main
from ugatit_jax.training import loop

ROOT = Path(__file__).parents[2]


def error_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert "drawing the first weights" not in captured.out
    return captured.err


def test_a_misspelt_field(capsys: pytest.CaptureFixture[str], tiny_flags: list[str]) -> None:
    error = error_of([*tiny_flags, "--config.train.lr=1"], capsys)
    assert "config.train.lr" in error and "config.train.learning_rate" in error


def test_a_value_that_cannot_work(
    capsys: pytest.CaptureFixture[str], tiny_flags: list[str], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    error = error_of([*tiny_flags, "--config.train.batch_size=9", f"--workdir={workdir}"], capsys)
    assert "config.train.batch_size is 9, which 8 devices cannot share evenly" in error
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (False, "there is no folder "),
        (True, "no pictures in "),
    ],
)
def test_no_pictures(
    capsys: pytest.CaptureFixture[str],
    tiny_flags: list[str],
    tmp_path: Path,
    make: bool,
    words: str,
) -> None:
    source = tmp_path / "pictures"
    if make:
        source.mkdir()
    error = error_of(
        [*tiny_flags, f"--config.data.source={source}", f"--workdir={tmp_path / 'run'}"], capsys
    )
    assert words in error and str(source) in error


def test_a_workdir_that_is_a_file(
    capsys: pytest.CaptureFixture[str], tiny_flags: list[str], tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("")
    error = error_of([*tiny_flags, f"--workdir={tmp_path / 'run'}"], capsys)
    assert f"cannot make the folder {tmp_path / 'run'}: " in error


def test_the_command_itself() -> None:
    command = [sys.executable, "-m", "ugatit_jax.main", "--config=configs/demo.py", "--steps=1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: unknown argument '--steps=1'; ")
    assert result.stderr.count("\n") == 1


def test_what_stops_a_run_has_a_line_and_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_flags: list[str]
) -> None:
    def diverge(*_: object) -> int:
        raise FloatingPointError("generator/cam is nan at step 3")

    def wait(*_: object) -> int:
        raise TransientError("cannot read 0.png: timed out")

    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", diverge)
    assert main(tiny_flags) == 3
    assert capsys.readouterr().err == "error: generator/cam is nan at step 3\n"
    monkeypatch.setattr(loop, "train", wait)
    with pytest.raises(SystemExit, match="75"):
        main(tiny_flags)
    assert capsys.readouterr().err == "error: cannot read 0.png: timed out\n"
    monkeypatch.setattr(loop, "train", interrupt)
    assert main(tiny_flags) == 130


def test_programs_are_cached_where_the_user_says_or_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        runtime.set_up_jax()
        assert jax.config.values["jax_compilation_cache_dir"] == before  # conftest.py says where
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        runtime.set_up_jax()
        found = Path(jax.config.values["jax_compilation_cache_dir"])
        assert found.parent == tmp_path / "ugatit_jax" / "xla"
        assert re.fullmatch(r"[1-9]\d*_cores", found.name)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is always full")
def test_a_full_disk_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    @exit_on_input_error
    def write() -> None:
        Path("/dev/full").write_text("x")

    with pytest.raises(SystemExit) as end:
        write()
    assert end.value.code == 2
    said = "error: cannot write: No space left on device; make room, or say another folder\n"
    assert capsys.readouterr().err == said
