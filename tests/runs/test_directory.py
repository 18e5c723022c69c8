"""A run directory: whose it is, what the run in it was, and in what it differs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from processes import ROOT

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import open_dataset
from ugatit_jax.main import main
from ugatit_jax.runs.directory import held, prepare_run, record_start
from ugatit_jax.runs.identity import Identity

# Holds a directory until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from ugatit_jax.runs.directory import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def assert_free(workdir: Path) -> None:
    with held(workdir):
        pass


def assert_taken(workdir: Path) -> None:
    with pytest.raises(InputError, match=f"another training runs in {workdir}: wait for it or"):
        assert_free(workdir)


def test_a_directory_is_of_one_training_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path):
        assert_taken(tmp_path)
        assert_taken(tmp_path)  # who was refused has not let go of it either
    assert_free(tmp_path)
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        print(1 / 0)
    assert_free(tmp_path)
    assert_free(tmp_path / "nothing there")


def test_a_killed_training_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert_taken(tmp_path)
        other.kill()
        assert other.wait() == -signal.SIGKILL
    assert_free(tmp_path)


def test_two_trainings_in_one_directory(
    tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two real processes: the second is refused at once, and the first, killed, leaves no lock."""
    workdir = tmp_path / "run"
    command = [*tiny_flags, "--config.train.batch_size=1", f"--workdir={workdir}"]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    first = subprocess.Popen(
        [sys.executable, "-u", "-m", "ugatit_jax.main", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with first:
        assert first.stdout is not None
        assert "drawing the first weights…\n" in first.stdout  # it has the directory now
        with pytest.raises(SystemExit, match="2"):
            main([*command, "--config.train.batch_size=8"])
        said = capsys.readouterr().err
        assert said.startswith(f"error: another training runs in {workdir}: wait for it or stop it")
        assert said.count("\n") == 1
        first.kill()
    assert_free(workdir)


def test_a_lock_that_somebody_put_there_leads_nowhere(tmp_path: Path) -> None:
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
    lock, outside = tmp_path / "run" / ".lock", tmp_path / "outside"
    lock.symlink_to(outside)
    with pytest.raises(InputError, match=r"cannot lock .*\.lock: .*; remove it"):
        assert_free(lock.parent)
    assert not outside.exists()
    os.mkfifo(tmp_path / "other" / ".lock")
    assert_free(tmp_path / "other")  # and nobody waits for who would write into it


@pytest.fixture
def identity(tiny_config: Callable[[], ConfigDict]) -> Identity:
    config = tiny_config()
    features = {"extractor": "inception-v3", "sha256": "0"}
    return Identity.of(config, open_dataset(config.data).fingerprints(), features, {}, {})


def test_what_a_run_was_is_known_at_its_next_start(
    tmp_path: Path, tiny_config: Callable[[], ConfigDict], identity: Identity
) -> None:
    config, workdir = tiny_config(), tmp_path / "run"
    assert prepare_run(workdir, config) is None
    record_start(workdir, config, identity, 0)
    assert prepare_run(workdir, config) is None  # nothing was saved
    (workdir / "checkpoints" / "1").mkdir(parents=True)
    before = prepare_run(workdir, config)
    assert before is not None and before.identity == identity
    assert before.identity.differences(identity) == []
    record_start(workdir, config, replace(identity, features=None), 1)
    before = prepare_run(workdir, config)
    assert before is not None and before.identity is not None and before.identity.features is None


def test_differences_are_said_in_words(identity: Identity) -> None:
    pictures = identity.pictures | {
        "train_a": identity.pictures["train_b"],
        "test_b": identity.pictures["test_b"] | {"names": "other"},
    }
    now = Identity(identity.config | {"seed": 3, "data.flip": False}, pictures, None, {})
    assert now.differences(identity) == [
        "config.data.flip is False and was True",
        "config.seed is 3 and was 0",
        "the pictures of test_b are others and were 2",
        "the pictures of train_a are 8 and were 9",
        "KID looks at nothing and did at inception-v3",
    ]
    again = replace(identity, features={"extractor": "inception-v3", "sha256": "1"})
    (said,) = again.differences(identity)
    assert said == "KID looks at another inception-v3 and did at inception-v3"
