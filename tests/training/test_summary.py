"""What a training says before it compiles anything, and a dry run, which ends there."""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from ugatit_jax.main import main
from ugatit_jax.runs.directory import held, record_start
from ugatit_jax.training.loop import prepare


def entries(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def make_run(workdir: Path, config: ConfigDict) -> Path:
    """A run with a checkpoint that nobody reads."""
    with contextlib.ExitStack() as until_the_end:
        training = prepare(config, workdir, False, until_the_end)
    record_start(workdir, config, training.identity, 0)
    (workdir / "checkpoints" / "3").mkdir(parents=True)
    return workdir


def said_by(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The summary, {what: what is said of it}."""
    lines = (re.fullmatch(r"  (.{10})  (.+)", x) for x in capsys.readouterr().out.splitlines())
    return {line[1].strip(): line[2] for line in lines if line}


def error_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(
    tmp_path: Path, tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "runs" / "new"
    assert main([*tiny_flags, f"--workdir={workdir}", "--config.eval.every=2", "--dry-run"]) == 0
    said = said_by(capsys)
    assert entries(tmp_path) == set()
    assert said["experiment"].endswith("default.py:light, method ugatit")
    for change in ("train.steps = 4 (not 1000000)", "data.image_size = (32, 32) (not (256, 256))"):
        assert change in said["changed"]
    assert said["devices"] == "8 × cpu, computing in float32"
    assert said["pictures"] == "9 of A and 8 of B; to test with, 3 of A and 2 of B, at 32 × 32 px"
    assert re.match(r"[\d,]+, of which a translation a2b takes [\d,]+$", said["parameters"])
    assert said["steps"] == "from 0 to 4, in batches of 8"
    assert said["folder"] == f"{workdir}, a checkpoint every 1 steps"
    assert said["KID"].startswith("every 2 steps, by ")
    assert said["to stop"].startswith("Ctrl-C")


def test_a_dry_run_of_a_run_that_there_is_checks_it_and_leaves_it_alone(
    tmp_path: Path,
    tiny_flags: list[str],
    tiny_config: Callable[[], ConfigDict],
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = make_run(tmp_path / "run", tiny_config())
    capsys.readouterr()
    before, run = entries(tmp_path), (workdir / "run.json").read_bytes()
    command = [*tiny_flags, f"--workdir={workdir}", "--dry-run"]

    assert main(command) == 0
    said = said_by(capsys)
    assert said["steps"] == "from 3 to 4, in batches of 8" and said["KID"] == "none"
    other = error_of([*command, "--config.seed=7"], capsys)
    assert f"the run in {workdir} was another: config.seed is 7 and was 0" in other
    with held(workdir):
        assert f"another training runs in {workdir}" in error_of(command, capsys)
    report = workdir / "divergence" / "2" / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text("{")
    assert f"cannot read {report}" in error_of(command, capsys)
    report.unlink()
    report.parent.rmdir()
    report.parent.parent.rmdir()
    assert entries(tmp_path) == before and (workdir / "run.json").read_bytes() == run


def test_full_generators_are_counted_outside_of_the_mesh_that_shares_them(
    tmp_path: Path, tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    full = [*tiny_flags, "--config.model.light=False", f"--workdir={tmp_path / 'run'}"]
    counts = []
    for command in (tiny_flags, full):
        assert main([*command, "--dry-run"]) == 0
        counts.append(int(said_by(capsys)["parameters"].partition(" ")[0].replace(",", "")))
    assert counts[1] > counts[0]
    assert entries(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workdir=FILE/run"], "cannot make the folder "),
        (["--workdir=x", "--config.data.source=none"], "there is no folder none"),
        (["--workdir=x", "--config.eval.every=1", "--config.eval.features=none"], "none"),
        (["--workdir=x", "--config.init_from=none"], "none"),
        (["--workdir=x", "--config.train.batch_size=9"], "cannot share evenly"),
    ],
)
def test_what_cannot_be_is_told_without_a_start(
    tmp_path: Path,
    tiny_flags: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("")
    assert words in error_of([*tiny_flags, *arguments, "--dry-run"], capsys)
    assert entries(tmp_path) == {"FILE"}


def test_a_field_that_came_later_makes_no_other_run(
    tmp_path: Path, tiny_flags: list[str], tiny_config: Callable[[], ConfigDict]
) -> None:
    workdir = make_run(tmp_path / "run", tiny_config())
    for name, path in (("config.json", []), ("run.json", ["identity", "config"])):
        kept = json.loads((workdir / name).read_text())
        fields = kept
        for key in path:
            fields = fields[key]
        del fields["on_nonfinite"]
        (workdir / name).write_text(json.dumps(kept))
    assert main([*tiny_flags, f"--workdir={workdir}", "--dry-run"]) == 0
