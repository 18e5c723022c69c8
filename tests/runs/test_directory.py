"""A run directory: whose it is, what the run in it was, and in what it differs."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import open_dataset
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
