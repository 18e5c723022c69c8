"""What is said of a path that was given in the place of a run directory."""

from pathlib import Path

import pytest

from ugatit_jax.console.errors import InputError
from ugatit_jax.runs import checkpoints
from ugatit_jax.runs.steps import Step


def why_not(path: Path, step: Step = None) -> str:
    """The message for a path that is no run, without its start."""
    with pytest.raises(InputError) as error:
        checkpoints.restore_weights(path, step)
    start = f"no run in {path}: "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


def test_what_is_there_in_the_place_of_a_run(tmp_path: Path) -> None:
    missing = tmp_path / "runs" / "missing"
    assert why_not(missing) == "there is no such folder"
    for name in ("trainA", "trainB"):
        (tmp_path / name).mkdir()
    assert why_not(tmp_path / "trainA") == "it is empty"
    assert why_not(tmp_path) == "it holds trainA, trainB, and no folder checkpoints"

    first, second = (tmp_path / "runs" / name for name in ("first", "second"))
    (first / "checkpoints" / "5000" / "ema").mkdir(parents=True)
    (first / "samples").mkdir()
    (second / "checkpoints").mkdir(parents=True)
    assert why_not(tmp_path / "runs") == "it is a folder of runs; give one of them: first, second"
    assert why_not(missing) == (
        f"there is no such folder; {missing.parent} holds the runs first, second"
    )
    for part in ("checkpoints/5000", "checkpoints/5000/ema"):
        assert why_not(first / part) == f"it is a part of the run {first}; give {first} --step 5000"
    assert why_not(first / "samples") == f"it is a part of the run {first}; give {first}"


def test_the_weights_of_an_original_in_the_place_of_a_run(tmp_path: Path) -> None:
    command = "python -m ugatit_jax.interop.import_weights"
    for name in ("x_params_0001000.pt", "UGATIT.model-1000.index", "readme.txt"):
        (tmp_path / name).touch()
    torch_file, prefix = tmp_path / "x_params_0001000.pt", tmp_path / "UGATIT.model-1000"
    for given in (torch_file, prefix, Path(f"{prefix}.index")):
        expected = f"these are weights; make a run of them: {command} {given} RUN_DIR"
        assert why_not(given) == expected
    assert why_not(tmp_path) == (
        f"it holds weights, {torch_file.name}; make a run of them: {command} {torch_file} RUN_DIR"
    )
    assert why_not(tmp_path / "readme.txt") == "it is a file; give the folder that training wrote"
    assert why_not(tmp_path / "no.pt") == "there is no such folder"


def test_names_of_files_do_not_end_the_line(tmp_path: Path) -> None:
    (tmp_path / "x\nerror: all is well\x1b[2J").touch()
    said = why_not(tmp_path)
    assert said.isprintable() and "x\\nerror: all is well" in said
