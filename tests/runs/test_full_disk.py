"""Checkpoints that cannot be written: the system refuses, as it does on a full disk."""

import contextlib
import dataclasses
import logging
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from test_checkpoints import assert_same, make_state, restore, steps_in

from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs.checkpoints import open_checkpoints, save

# Writes of Orbax's that are still under way when another fails find its event loop closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def config(tiny_config: Callable[[], ConfigDict]) -> ConfigDict:
    return tiny_config()


@contextlib.contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """Have the system refuse to write files of more bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def large_state(step: int) -> TrainState:
    numbers = np.random.default_rng(step).normal(size=100_000).astype(np.float32)
    state = dataclasses.replace(make_state(step), other={"spectral": {"a": numbers}})
    return jax.device_put(state, replicated(make_mesh(jax.devices()[:1])))


def test_training_goes_on_and_the_next_one_is_saved(
    tmp_path: Path, config: ConfigDict, caplog: pytest.LogCaptureFixture
) -> None:
    method = build_method(config)
    with open_checkpoints(tmp_path, config.checkpoint) as manager:
        save(manager, method, large_state(1))
        manager.wait_until_finished()
        with no_file_over(100_000), caplog.at_level(logging.WARNING):
            save(manager, method, large_state(2))
            with contextlib.suppress(ValueError):
                manager.wait_until_finished()  # so that it does not finish after the limit is gone
                raise AssertionError("it was written")
        save(manager, method, large_state(3))
    assert "2" not in steps_in(tmp_path) and {"1", "3"} <= steps_in(tmp_path)
    assert {path.stem for path in (tmp_path / "checksums").iterdir()} == {"1", "3"}
    assert_same(restore(tmp_path, config, large_state(0)), large_state(3))


def test_a_last_one_that_is_not_saved_is_told_with_the_step_to_go_on_from(
    tmp_path: Path, config: ConfigDict, caplog: pytest.LogCaptureFixture
) -> None:
    method = build_method(config)
    said = "could not be saved in .*: File too large; the same command goes on from step 1"
    with (
        pytest.raises(InputError, match=said),
        open_checkpoints(tmp_path, config.checkpoint) as manager,
    ):
        save(manager, method, large_state(1))
        manager.wait_until_finished()
        with no_file_over(100_000), caplog.at_level(logging.WARNING):
            save(manager, method, large_state(2))
            save(manager, method, large_state(3))  # says that 2 was not
            while manager.is_saving_in_progress():
                pass
    assert "the last checkpoint was not saved: File too large" in caplog.text
    assert_same(restore(tmp_path, config, large_state(0)), large_state(1))
