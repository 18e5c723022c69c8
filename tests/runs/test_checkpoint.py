"""A run directory: what is kept, what is refused, and that it comes back as it was."""

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

import ugatit_jax
from ugatit_jax.config.checks import different_fields, load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.models import build_generator
from ugatit_jax.runs import checkpoints
from ugatit_jax.training.step import TrainState


def make_state(step: int, ema: bool = True) -> TrainState:
    """A state in which every number depends on the step."""
    x = step + np.arange(6, dtype=np.float32).reshape(2, 3)
    return TrainState(
        step=jnp.int32(step),
        generators={"a2b": {"conv": x}, "b2a": {"conv": -x}},
        discriminators={"a": x / 3, "b": x / 7},
        spectral={"a": x[0], "b": x[1]},
        generator_optimizer=({"mu": x * 2}, (), jnp.int32(step)),
        discriminator_optimizer=({"mu": x * 4}, (), jnp.int32(step)),
        ema={"a2b": {"conv": x + 100}, "b2a": {"conv": x - 100}} if ema else None,
    )


def save_all(workdir: Path, config: ConfigDict, *states: TrainState) -> None:
    with checkpoints.open_checkpoints(workdir, config) as manager:
        for state in states:
            checkpoints.save(manager, jax.device_put(state, replicated(make_mesh())))


def restore(workdir: Path, config: ConfigDict, like: TrainState) -> TrainState:
    with checkpoints.open_checkpoints(workdir, config) as manager:
        return checkpoints.restore(manager, like, workdir)


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
    save_all(tmp_path, config, dataclasses.replace(make_state(2), discriminators=None))
    assert_same(
        restore(tmp_path, config, jax.device_put(make_state(0), replicated(make_mesh()))),
        make_state(2),
    )


def test_a_half_written_checkpoint_is_swept_away(tmp_path: Path, config: ConfigDict) -> None:
    save_all(tmp_path, config, make_state(2))
    half = tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp"
    (half / "generators").mkdir(parents=True)
    (half / "generators" / "manifest.ocdbt").write_bytes(b"half")
    state = restore(tmp_path, config, jax.device_put(make_state(0), replicated(make_mesh())))
    assert int(state.step) == 2
    assert steps_in(tmp_path) == {"2"}


def test_a_moving_average_can_be_switched_on_and_off(tmp_path: Path, config: ConfigDict) -> None:
    save_all(tmp_path, config, make_state(1, ema=False))
    on = restore(tmp_path, config, jax.device_put(make_state(0), replicated(make_mesh())))
    assert_same(on.ema, make_state(1).generators)  # starts from where the run is
    # Not the same buffers: a step that consumes the state would be given them twice.
    assert jax.tree.leaves(on.ema)[0] is not jax.tree.leaves(on.generators)[0]

    save_all(tmp_path, config, make_state(2))
    off = restore(
        tmp_path, config, jax.device_put(make_state(0, ema=False), replicated(make_mesh()))
    )
    assert_same(off, make_state(2, ema=False))


def random_generators(config: ConfigDict, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(
        build_generator(config).init, jax.random.key(0), jnp.zeros((1, *config.data.image_size, 3))
    )["params"]
    return {
        way: jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
        for way in ("a2b", "b2a")
    }


def test_generators_alone(tmp_path: Path, config: ConfigDict) -> None:
    plain, averaged, newest = (random_generators(config, seed) for seed in range(3))
    checkpoints.prepare_run(tmp_path, config)
    checkpoints.record_start(tmp_path, config, 0)
    save_all(
        tmp_path,
        config,
        dataclasses.replace(make_state(1), generators=plain, ema=averaged),
        dataclasses.replace(make_state(2, ema=False), generators=newest),
    )
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir()

    found_config, step, found = checkpoints.restore_generators(tmp_path)
    assert different_fields(found_config, config) == {}
    assert step == 2
    assert_same(found, newest)
    assert {leaf.device for leaf in jax.tree.leaves(found)} == {jax.local_devices()[0]}

    _, step, found = checkpoints.restore_generators(tmp_path, step=1)
    assert step == 1
    assert_same(found, averaged)

    with pytest.raises(
        InputError, match=r"no checkpoint of step 3 in .*: there are those of 1, 2$"
    ):
        checkpoints.restore_generators(tmp_path, step=3)
    assert steps_in(tmp_path) == {"1", "2", "3.orbax-checkpoint-tmp"}  # a reader changes nothing


def why_not(path: Path, step: checkpoints.Step = None) -> str:
    """The message for a path that is no run, without its start."""
    with pytest.raises(InputError) as error:
        checkpoints.restore_generators(path, step)
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


def test_a_run_without_a_checkpoint(tmp_path: Path, config: ConfigDict) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"cannot read the config .*config.json"):
        checkpoints.restore_generators(tmp_path)
    config.checkpoint.every = 2_500
    checkpoints.record_start(tmp_path, config, 0)
    with pytest.raises(
        InputError,
        match=r"no checkpoint in .*checkpoints: there is none yet; training saves one every 2,500 ",
    ):
        checkpoints.restore_generators(tmp_path)


def test_a_run_of_a_newer_format_is_refused(tmp_path: Path, config: ConfigDict) -> None:
    checkpoints.record_start(tmp_path, config, 0)
    save_all(tmp_path, config, make_state(1))
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"format": checkpoints.FORMAT + 1}))
    (tmp_path / "config.json").write_text("[a form that this program does not know]")
    for use in (
        lambda: checkpoints.restore_generators(tmp_path),
        lambda: checkpoints.restore_state(tmp_path),
        lambda: checkpoints.describe_checkpoint(tmp_path, 1),
        lambda: checkpoints.prepare_run(tmp_path, config),
    ):
        with pytest.raises(InputError) as error:
            use()
        assert str(error.value) == (
            f"{tmp_path} was written by a newer ugatit_jax (format 2, this one reads up to 1): "
            "update the program"
        )
    for damage in ("{", "[]", '{"starts": []}'):
        (tmp_path / "run.json").write_text(damage)
        with pytest.raises(InputError, match=r"^cannot read .*run\.json: .*; restore the file$"):
            checkpoints.prepare_run(tmp_path, config)


def test_a_run_goes_on_with_the_same_architecture_only(tmp_path: Path, config: ConfigDict) -> None:
    workdir = tmp_path / "new" / "run"
    assert checkpoints.prepare_run(workdir, config) == {}
    checkpoints.record_start(workdir, config, 0)
    other = config.copy_and_resolve_references()
    other.model.base_width, other.model.light = 8, False
    assert checkpoints.prepare_run(workdir, other) == {}  # nothing was saved yet

    save_all(workdir, config, make_state(1))
    with pytest.raises(InputError) as error:
        checkpoints.prepare_run(workdir, other)
    assert str(error.value) == (
        f"the run in {workdir} has another architecture: config.model.base_width is 8 and was 4, "
        "config.model.light is False and was True; "
        "take the values that it had, or another --workdir"
    )
    config.train.learning_rate = 0.5
    assert checkpoints.prepare_run(workdir, config) == {"train.learning_rate": (0.5, 1e-4)}


def test_every_start_is_recorded(tmp_path: Path, config: ConfigDict) -> None:
    checkpoints.record_start(tmp_path, config, 0)
    config.train.steps = 7
    checkpoints.record_start(tmp_path, config, 3)
    assert different_fields(load_config(tmp_path / "config.json"), config) == {}
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["format"] == checkpoints.FORMAT
    assert [start["step"] for start in record["starts"]] == [0, 3]
    for start in record["starts"]:
        assert start.keys() == {"date", "step", "command", "devices", "git", "versions"}
        assert start["devices"] == ["cpu"] * 8
        assert start["versions"]["ugatit_jax"] == ugatit_jax.__version__
        assert start["versions"]["jax"] == jax.__version__
