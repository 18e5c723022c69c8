"""Checkpoints: what is kept, what is refused, and that a state comes back as it was."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from ugatit_jax.config.records import different_fields
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import weight_shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs import checkpoints
from ugatit_jax.runs.directory import FORMAT, prepare_run, record_start


def make_state(step: int, ema: bool = True) -> TrainState:
    """A state in which every number depends on the step."""
    x = step + np.arange(6, dtype=np.float32).reshape(2, 3)
    return TrainState(
        step=jnp.int32(step),
        params={
            "generators": {"a2b": {"conv": x}, "b2a": {"conv": -x}},
            "discriminators": {"a": x / 3, "b": x / 7},
        },
        optimizers={
            "generators": ({"mu": x * 2}, (), jnp.int32(step)),
            "discriminators": ({"mu": x * 4}, (), jnp.int32(step)),
        },
        other={"spectral": {"a": x[0], "b": x[1]}},
        ema={"generators": {"a2b": {"conv": x + 100}, "b2a": {"conv": x - 100}}} if ema else None,
    )


def save_all(workdir: Path, config: ConfigDict, *states: TrainState) -> None:
    with checkpoints.open_checkpoints(workdir, config.checkpoint) as manager:
        for state in states:
            placed = jax.device_put(state, replicated(make_mesh()))
            checkpoints.save(manager, build_method(config), placed)


def restore(workdir: Path, config: ConfigDict, like: TrainState) -> TrainState:
    with checkpoints.open_checkpoints(workdir, config.checkpoint) as manager:
        return checkpoints.restore(manager, build_method(config), like, workdir)


def steps_in(workdir: Path) -> set[str]:
    return {path.name for path in (workdir / "checkpoints").iterdir()}


def assert_same(tree: Any, expected: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


@pytest.fixture
def config(tiny_config: Callable[[], ConfigDict]) -> ConfigDict:
    return tiny_config()


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_the_newest_state_comes_back_on_any_number_of_devices(
    tmp_path: Path, config: ConfigDict, devices: int
) -> None:
    save_all(tmp_path, config, make_state(3), make_state(5))
    mesh = make_mesh(jax.devices()[:devices])
    state = restore(tmp_path, config, jax.device_put(make_state(0), replicated(mesh)))
    assert_same(state, make_state(5))
    assert {leaf.sharding for leaf in jax.tree.leaves(state)} == {replicated(mesh)}


def test_without_a_checkpoint_the_state_is_the_given_one(
    tmp_path: Path, config: ConfigDict
) -> None:
    state = make_state(0)
    assert restore(tmp_path, config, state) is state


def test_the_newest_and_those_at_intervals_are_kept(tmp_path: Path, config: ConfigDict) -> None:
    config.checkpoint.keep, config.checkpoint.keep_every = 2, 3
    save_all(tmp_path, config, *map(make_state, range(1, 9)))
    assert steps_in(tmp_path) == {"3", "6", "7", "8"}
    config.checkpoint.keep, config.checkpoint.keep_every = 1, 0
    save_all(tmp_path, config, make_state(9))
    assert steps_in(tmp_path) == {"9"}


def test_a_step_that_is_there_is_not_saved_again(tmp_path: Path, config: ConfigDict) -> None:
    save_all(tmp_path, config, make_state(2))
    save_all(tmp_path, config, dataclasses.replace(make_state(2), other={"spectral": None}))
    assert_same(
        restore(tmp_path, config, jax.device_put(make_state(0), replicated(make_mesh()))),
        make_state(2),
    )


def test_a_half_written_checkpoint_is_swept_away(tmp_path: Path, config: ConfigDict) -> None:
    save_all(tmp_path, config, make_state(2))
    half = tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp"
    (half / "translating").mkdir(parents=True)
    (half / "translating" / "manifest.ocdbt").write_bytes(b"half")
    state = restore(tmp_path, config, jax.device_put(make_state(0), replicated(make_mesh())))
    assert int(state.step) == 2
    assert steps_in(tmp_path) == {"2"}


def test_a_moving_average_can_be_switched_on_and_off(tmp_path: Path, config: ConfigDict) -> None:
    save_all(tmp_path, config, make_state(1, ema=False))
    on = restore(tmp_path, config, jax.device_put(make_state(0), replicated(make_mesh())))
    assert_same(
        on.ema, {"generators": make_state(1).params["generators"]}
    )  # starts from where the run is
    # Not the same buffers: a step that consumes the state would be given them twice.
    assert jax.tree.leaves(on.ema)[0] is not jax.tree.leaves(on.params["generators"])[0]

    save_all(tmp_path, config, make_state(2))
    off = restore(
        tmp_path, config, jax.device_put(make_state(0, ema=False), replicated(make_mesh()))
    )
    assert_same(off, make_state(2, ema=False))


def random_generators(config: ConfigDict, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(build_method(config), "a2b")
    return {
        way: jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
        for way in ("a2b", "b2a")
    }


def test_what_translates_alone(tmp_path: Path, config: ConfigDict) -> None:
    plain, averaged, newest = (random_generators(config, seed) for seed in range(3))
    prepare_run(tmp_path, config)
    record_start(tmp_path, config, None, 0)
    first, second = make_state(1), make_state(2, ema=False)
    save_all(
        tmp_path,
        config,
        dataclasses.replace(
            first, params=first.params | {"generators": plain}, ema={"generators": averaged}
        ),
        dataclasses.replace(second, params=second.params | {"generators": newest}),
    )
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir()

    found_config, step, found = checkpoints.restore_weights(tmp_path)
    assert different_fields(found_config, config) == {}
    assert step == 2
    assert_same(found, newest)
    assert {leaf.device for leaf in jax.tree.leaves(found)} == {jax.local_devices()[0]}

    _, step, found = checkpoints.restore_weights(tmp_path, step=1)
    assert step == 1
    assert_same(found, averaged)

    with pytest.raises(
        InputError, match=r"no checkpoint of step 3 in .*: there are those of 1, 2$"
    ):
        checkpoints.restore_weights(tmp_path, step=3)
    assert steps_in(tmp_path) == {"1", "2", "3.orbax-checkpoint-tmp"}  # a reader changes nothing


def test_a_run_without_a_checkpoint(tmp_path: Path, config: ConfigDict) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"cannot read the config .*config.json"):
        checkpoints.restore_weights(tmp_path)
    config.checkpoint.every = 2_500
    record_start(tmp_path, config, None, 0)
    with pytest.raises(
        InputError,
        match=r"no checkpoint in .*checkpoints: there is none yet; training saves one every 2,500 ",
    ):
        checkpoints.restore_weights(tmp_path)


def test_a_run_of_a_newer_format_is_refused(tmp_path: Path, config: ConfigDict) -> None:
    record_start(tmp_path, config, None, 0)
    save_all(tmp_path, config, make_state(1))
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"format": FORMAT + 1}))
    (tmp_path / "config.json").write_text("[a form that this program does not know]")
    for use in (
        lambda: checkpoints.restore_weights(tmp_path),
        lambda: checkpoints.restore_state(tmp_path),
        lambda: checkpoints.restore_judges(tmp_path),
        lambda: checkpoints.describe_checkpoint(tmp_path, 1),
        lambda: prepare_run(tmp_path, config),
    ):
        with pytest.raises(InputError) as error:
            use()
        assert str(error.value) == (
            f"{tmp_path} was written by a newer ugatit_jax (format 3, this one reads up to 2): "
            "update the program"
        )
    for damage in ("{", "[]", '{"starts": []}'):
        (tmp_path / "run.json").write_text(damage)
        with pytest.raises(InputError, match=r"^cannot read .*run\.json: .*; restore the file$"):
            prepare_run(tmp_path, config)
