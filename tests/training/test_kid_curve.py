"""KID while training: what a run keeps of it, and which checkpoint it calls the best."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tensorboard.util import tensor_util  # type: ignore[import-untyped]

from ugatit_jax.config.checks import save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import open_dataset
from ugatit_jax.evaluation.evaluating import evaluate_run
from ugatit_jax.runs.checkpoints import (
    describe_checkpoint,
    open_checkpoints,
    restore_generators,
    save,
)
from ugatit_jax.training import loop
from ugatit_jax.training.kid_curve import KidCurve
from ugatit_jax.training.step import TrainState, create_state

MakeConfig = Callable[[], ConfigDict]


@pytest.fixture(scope="module")
def config(tiny_config: MakeConfig) -> ConfigDict:
    config = tiny_config()
    config.eval.every = 3
    config.eval.features = "efficientnet-lite0"
    config.checkpoint.keep = 1
    config.checkpoint.keep_every = 0
    return config


@pytest.fixture(scope="module")
def run(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("kid") / "run"
    assert loop.train(config, workdir) == 4
    return workdir


def points(run: Path) -> list[dict]:
    return json.loads((run / "kid.json").read_text())["points"]


def test_kid_is_taken_now_and_then_and_at_the_end(run: Path) -> None:
    assert [point["step"] for point in points(run)] == [3, 4]
    with Image.open(run / "kid.png") as picture:
        assert picture.size == (960, 540)
    events = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    for direction in ("a2b", "b2a"):
        for event, point in zip(events.Tensors(f"kid_x100/{direction}"), points(run), strict=True):
            logged = float(tensor_util.make_ndarray(event.tensor_proto))
            assert event.step == point["step"]
            assert logged == pytest.approx(100 * point[direction]["mean"], rel=1e-6)


def test_it_is_the_kid_of_an_evaluation(run: Path) -> None:
    report, _ = evaluate_run(run, features="efficientnet-lite0")
    checkpoint = report["checkpoint"]
    assert checkpoint["step"] == 4 and "final" in checkpoint["is"]
    for direction in ("a2b", "b2a"):
        row = report["directions"][direction]["rows"]["translated"]
        taken = points(run)[-1][direction]
        # Translations are rounded to whole levels: one more or less moves noise that far.
        assert 100 * taken["mean"] == pytest.approx(row["kid_x100"]["mean"], rel=1e-2)
        assert checkpoint["kid_x100_while_training"][direction] == 100 * taken["mean"]


def test_a_resumed_run_goes_on_with_its_points(
    config: ConfigDict, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "kid.json").write_text((run / "kid.json").read_text())
    dataset = open_dataset(config.data)
    curve = KidCurve.open(config, dataset, tmp_path, 3)  # as if step 4 had been lost
    assert curve is not None
    _, _, params = restore_generators(run, 4)
    assert curve.is_due(6) and curve.is_due(4) and not curve.is_due(5)  # 4 is the last one
    kids = curve.measure(jax.device_get(params), 6)
    assert [point["step"] for point in points(tmp_path)] == [3, 6]
    assert kids == pytest.approx({name: points(run)[-1][name]["mean"] for name in kids}, rel=1e-4)


def test_points_that_do_not_compare_are_not_mixed(
    config: ConfigDict, run: Path, tmp_path: Path
) -> None:
    kept = json.loads((run / "kid.json").read_text())
    dataset = open_dataset(config.data)
    for name, other, message in (
        ("pictures", {"a": 100, "b": 100}, "was measured with pictures {'a': 100"),
        ("features", {"extractor": "inception-v3", "sha256": "0"}, "was measured with features"),
    ):
        (tmp_path / "kid.json").write_text(json.dumps(kept | {name: other}))
        with pytest.raises(InputError, match=message):
            KidCurve.open(config, dataset, tmp_path, 4)
    for broken in ("", "{}", "[]"):
        (tmp_path / "kid.json").write_text(broken)
        with pytest.raises(InputError, match=r"cannot read .*kid\.json .*: move it away"):
            KidCurve.open(config, dataset, tmp_path, 4)


def test_it_takes_test_pictures(
    config: ConfigDict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = open_dataset(config.data)
    alone = dataclasses.replace(dataset, test_b=dataset.test_b.first(1))
    assert KidCurve.open(config, alone, tmp_path, 0) is None
    assert "it takes 2 test pictures of each domain" in capsys.readouterr().out
    config = config.copy_and_resolve_references()
    config.eval.every = 0
    assert KidCurve.open(config, dataset, tmp_path, 0) is None
    assert capsys.readouterr().out == ""


def test_the_best_checkpoint_is_kept_and_named(config: ConfigDict, tmp_path: Path) -> None:
    save_config(config, tmp_path / "config.json")
    generators = jax.eval_shape(functools.partial(create_state, config)).generators
    nothing = np.zeros(1)
    kids = {1: 0.4, 2: 0.1, 3: 0.3, 4: None, 5: 0.2}
    with open_checkpoints(tmp_path, config) as checkpoints:
        for step, kid in kids.items():
            state = TrainState(
                step=jnp.asarray(step),
                generators=jax.tree.map(lambda x, s=step: np.full(x.shape, s, x.dtype), generators),
                discriminators=nothing,
                spectral=nothing,
                generator_optimizer=nothing,
                discriminator_optimizer=nothing,
                ema=None,
            )
            # A lower KID in one direction only makes no best step: both count.
            save(checkpoints, state, kid and {"a2b": kid + step / 100, "b2a": kid - step / 100})
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} == {2, 5}
    _, step, params = restore_generators(tmp_path, "best")
    assert step == 2 and {float(x.ravel()[0]) for x in jax.tree.leaves(params)} == {2.0}
    assert restore_generators(tmp_path)[1] == 5
    best, newest = describe_checkpoint(tmp_path, 2), describe_checkpoint(tmp_path, 5)
    assert best["is"] == ["best"] and newest["is"] == ["final"]  # of four steps
    assert best["best_step"] == newest["best_step"] == 2 and best["newest_step"] == 5
    assert best["kid_x100_while_training"] == pytest.approx({"a2b": 12.0, "b2a": 8.0})


def test_a_run_without_kids_has_no_best_checkpoint(config: ConfigDict, tmp_path: Path) -> None:
    save_config(config, tmp_path / "config.json")
    state = TrainState(jnp.asarray(7), *[np.zeros(1)] * 5, ema=None)
    with open_checkpoints(tmp_path, config) as checkpoints:
        save(checkpoints, state)
    assert describe_checkpoint(tmp_path, 7)["best_step"] is None
    with pytest.raises(InputError, match=r"knows its KID: train with config\.eval\.every, or say"):
        restore_generators(tmp_path, "best")
