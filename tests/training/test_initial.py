"""A new training from a trained model: a run, an export, a file of weights."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from safetensors.numpy import load_file
from steps import creator, mesh_of

from ugatit_jax.config.records import load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices import sharding
from ugatit_jax.interop.export_weights import main as export_weights
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs.checkpoints import restore_state
from ugatit_jax.training.initial import read_initial
from ugatit_jax.training.loop import train

GOLDEN = Path(__file__).parents[1] / "golden" / "format_1"
RUN, EXPORT = GOLDEN / "run", GOLDEN / "export"


@pytest.fixture(scope="module")
def trained() -> TrainState:
    """The state of the run that the others are made of."""
    return restore_state(RUN)[1]


def config_from(source: Path | str) -> ConfigDict:
    """That of the run, for a new training on a model that is not the same."""
    config = load_config(RUN / "config.json")
    config.init_from, config.seed = str(source), 7
    return config


def begin(config: ConfigDict) -> tuple[TrainState, TrainState, str]:
    """A first state from nothing, the one from a model, and what was said."""
    method, mesh = build_method(config), mesh_of(config)
    first = sharding.create_on(mesh, creator(config), method.split)
    initial, said = read_initial(config, method)
    return first, initial.put_into(first), said


def assert_same(tree: object, expected: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def test_a_run_gives_all_its_networks_and_no_moments(trained: TrainState) -> None:
    first, state, said = begin(config_from(RUN))
    assert_same(state.params["discriminators"], trained.params["discriminators"])
    assert_same(state.other, trained.other)
    average = state.ema
    assert average is not None
    assert_same(average, {"generators": state.params["generators"]})
    assert int(state.step) == 0
    assert_same(state.optimizers, first.optimizers)
    count = len(jax.tree.leaves(state.params))
    assert said.endswith(f"{count} of {count} arrays of parameters are its")


def test_an_export_gives_its_generators(trained: TrainState) -> None:
    first, state, said = begin(config_from(EXPORT))
    for direction, of_direction in state.params["generators"].items():
        recorded = load_file(EXPORT / f"{direction}.safetensors")
        ours = flatten_dict(of_direction, sep="/")
        assert ours.keys() == recorded.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, recorded[name].astype(np.float32))
    assert_same(state.params["discriminators"], first.params["discriminators"])
    assert said.endswith("anew: discriminators")


def test_a_file_of_weights_gives_what_it_was_made_of(trained: TrainState, tmp_path: Path) -> None:
    file = tmp_path / "weights_params_0000003.pt"
    export_weights([str(RUN), str(file)])
    _, state, _ = begin(config_from(file))
    assert_same(state.params, trained.params)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model.base_width", 4, "config.model.base_width was 2 and is 4"),
        ("model.residual_blocks", 2, "config.model.residual_blocks"),
        ("method", "cyclegan", "is of the method ugatit"),
        ("init_from", "nowhere", "no run in nowhere"),
    ],
)
def test_what_does_not_fit_is_refused(field: str, value: object, said: str) -> None:
    config = config_from(RUN)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=said):
        read_initial(
            config,
            build_method(load_config(RUN / "config.json"))
            if field == "method"
            else build_method(config),
        )


def test_other_discriminators_fit_an_export_and_another_skip_is_told() -> None:
    config = config_from(EXPORT)
    config.model.local_layers, config.model.skip = 2, "full"
    _, said = read_initial(config, build_method(config))
    assert "mind that" in said and "config.model.skip was 'none' and is 'full'" in said


def test_a_training_goes_from_there_and_is_resumed_without_it(
    trained: TrainState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, workdir = tmp_path / "model", tmp_path / "run"
    shutil.copytree(RUN, model)
    config = config_from(model)
    config.train.steps, config.train.batch_size, config.train.learning_rate = 1, 8, 0.0
    assert train(config, workdir) == 1
    assert f"beginning from {model}" in capsys.readouterr().out
    state = restore_state(workdir)[1]
    assert int(state.step) == 1
    assert_same(state.params["discriminators"], trained.params["discriminators"])
    shutil.rmtree(model)
    assert train(config, workdir) == 1
    assert "nothing to do" in capsys.readouterr().out
