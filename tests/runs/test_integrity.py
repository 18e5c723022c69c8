"""Damaged checkpoints: named, set aside, never deleted; and the one before is taken."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from processes import ROOT
from test_checkpoints import assert_same, make_state, restore, save_all, steps_in

from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.runs.checkpoints import describe_checkpoint, restore_judges, restore_weights
from ugatit_jax.runs.integrity import find_damage

RUN = Path(__file__).parents[1] / "golden" / "format_1" / "run"
Damage = Callable[[Path], object]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-1]), " bytes"),
    "emptied": (lambda file: file.write_bytes(b""), "has 0 of"),
    "missing": (lambda file: file.unlink(), "is missing"),
    "flipped": (flip_a_bit, "its checksum differs"),
}


def largest_file(workdir: Path, step: int, item: str) -> Path:
    files = (workdir / "checkpoints" / str(step) / item).rglob("*")
    return max((file for file in files if file.is_file()), key=lambda file: file.stat().st_size)


@pytest.fixture(scope="module")
def config() -> ConfigDict:
    return get_config("light")


@pytest.fixture(scope="module")
def saved(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("saved") / "run"
    save_all(workdir, config, *map(make_state, (1, 2, 3)))
    return workdir


@pytest.fixture
def workdir(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("item", ["translating", "ema", "training"])
def test_training_goes_on_from_the_one_before_and_keeps_the_damaged_one(
    how: str, item: str, workdir: Path, config: ConfigDict, caplog: pytest.LogCaptureFixture
) -> None:
    damage, said = DAMAGES[how]
    file = largest_file(workdir, 3, item)
    damage(file)
    left = file.read_bytes() if file.exists() else None
    with caplog.at_level(logging.WARNING):
        assert_same(restore(workdir, config, make_state(0)), make_state(2))
    assert len(caplog.messages) == 1
    assert "checkpoint 3 is damaged" in caplog.text and said in caplog.text
    assert file.name in caplog.text and str(workdir / "damaged" / "3") in caplog.text
    assert steps_in(workdir) == {"1", "2"}
    aside = workdir / "damaged" / "3" / file.relative_to(workdir / "checkpoints" / "3")
    assert (aside.read_bytes() if aside.exists() else None) == left
    # It goes on, and the step that it comes to again is damaged again.
    save_all(workdir, config, make_state(3))
    damage(largest_file(workdir, 3, item))
    assert_same(restore(workdir, config, make_state(0)), make_state(2))
    assert {path.name for path in (workdir / "damaged").iterdir()} == {"3", "3-2"}


def test_with_none_left_it_does_not_begin_anew_in_silence(
    workdir: Path, config: ConfigDict
) -> None:
    for step in (1, 2, 3):
        largest_file(workdir, step, "training").write_bytes(b"")
    with pytest.raises(InputError, match=r"is whole; 3, 2, 1 lie in .*damaged now: begin anew"):
        restore(workdir, config, make_state(0))
    assert {path.name for path in (workdir / "damaged").iterdir()} == {"1", "2", "3"}


def test_one_that_nothing_was_written_down_of_is_refused_if_it_cannot_be_read(
    workdir: Path, config: ConfigDict
) -> None:
    shutil.rmtree(workdir / "checksums")
    largest_file(workdir, 3, "training").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot read checkpoint 3 in .*move it elsewhere"):
        restore(workdir, config, make_state(0))
    assert steps_in(workdir) == {"1", "2", "3"}
    shutil.move(workdir / "checkpoints" / "3", workdir / "elsewhere")
    assert_same(restore(workdir, config, make_state(0)), make_state(2))


def test_checksums_are_of_the_checkpoints_that_there_are(workdir: Path, config: ConfigDict) -> None:
    assert {path.stem for path in (workdir / "checksums").iterdir()} == {"1", "2", "3"}
    save_all(workdir, config, make_state(4))  # config.checkpoint.keep is 3
    assert {path.stem for path in (workdir / "checksums").iterdir()} == {"2", "3", "4"}
    files = json.loads((workdir / "checksums" / "4.json").read_text())
    found = (workdir / "checkpoints" / "4").rglob("*")
    assert set(files) == {
        file.relative_to(workdir / "checkpoints" / "4").as_posix()
        for file in found
        if file.is_file() and file.parent.name != "metrics"
    }


@pytest.fixture
def run(tmp_path: Path, config: ConfigDict) -> Path:
    """A run with two equal checkpoints of real networks, as readers take it."""
    shutil.copytree(RUN, tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "4"
    shutil.copytree(tmp_path / "run" / "checkpoints" / "3", newest)
    save_all(tmp_path / "run", config)  # writes down what there is
    return tmp_path / "run"


ALL_THREE = """
import contextlib, sys
from ugatit_jax import evaluate, export, translate
run, picture, out = sys.argv[1:]
for name, command in {
    "translate": lambda: translate.main([run, picture, f"--out={out}/t", "--seed=1"]),
    "export": lambda: export.main([run, f"--out={out}/e", "--direction=a2b"]),
    "evaluate": lambda: evaluate.main([run, "--data=nowhere"]),
}.items():
    print(f"{name}:", file=sys.stderr, flush=True)
    with contextlib.suppress(SystemExit):
        command()
"""


def test_commands_say_which_step_they_fell_back_to(run: Path, tmp_path: Path) -> None:
    """On the screen, that is in a process of its own.

    translate and evaluate end after they have loaded it: it has no styles, and there are no
    pictures.
    """
    flip_a_bit(largest_file(run, 4, "ema"))
    picture = ROOT / "docs" / "attention.png"
    ended = subprocess.run(
        [sys.executable, "-c", ALL_THREE, str(run), str(picture), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = ended.stderr.splitlines()
    for name in ("translate", "export", "evaluate"):
        [said] = [x for x in lines[lines.index(f"{name}:") :] if "taking step" in x][:1]
        assert "taking step 3, as newer ones are damaged: " in said and "ema" in said
        lines.remove(said)
    assert not any("taking step" in line for line in lines)
    assert json.loads((tmp_path / "e" / "export.json").read_text())["step"] == 3


def test_readers_take_the_newest_whole_one_and_say_so(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert restore_weights(run).step == 4
    flip_a_bit(largest_file(run, 4, "training"))
    assert restore_weights(run).step == 4  # it is whole but for what is not read
    flip_a_bit(largest_file(run, 4, "ema"))
    with caplog.at_level(logging.WARNING):
        assert restore_weights(run).step == 3
    assert "taking step 3, as newer ones are damaged" in caplog.text
    assert "ema" in caplog.text
    with pytest.raises(InputError, match=r"damaged: .*ema.*say another --step"):
        restore_weights(run, 4)
    with pytest.raises(InputError, match=r"damaged: .*training.*say another --step"):
        restore_judges(run, 4)
    assert describe_checkpoint(run, 4)["step"] == 4
    assert find_damage(run / "checkpoints", 3) is None
    assert steps_in(run) == {"3", "4"}  # readers move nothing
