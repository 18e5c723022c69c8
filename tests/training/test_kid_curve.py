"""KID while training: what a run keeps of it, and which checkpoint it calls the best."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

from ugatit_jax.config.records import save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import Dataset, Domain, open_dataset
from ugatit_jax.devices.sharding import make_mesh
from ugatit_jax.evaluation.evaluate_run import evaluate_run
from ugatit_jax.inference.mapped import MappedTranslation
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.metrics.features import INCEPTION_FILE, FeatureExtractor, open_extractor
from ugatit_jax.runs.checkpoints import (
    add_kids,
    describe_checkpoint,
    open_checkpoints,
    restore_weights,
    save,
)
from ugatit_jax.runs.identity import Identity
from ugatit_jax.training import loop
from ugatit_jax.training.kid_curve import KidCurve

MakeConfig = Callable[[], ConfigDict]
pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def config(tiny_config: MakeConfig) -> ConfigDict:
    config = tiny_config()
    config.eval.every = 3
    config.eval.features = "efficientnet-lite0"
    config.checkpoint.keep = 1
    config.checkpoint.keep_every = 0
    return config


@pytest.fixture(scope="module")
def run(compiled_once: None, config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("kid") / "run"
    assert loop.train(config, workdir) == 4
    return workdir


def open_curve(
    config: ConfigDict, workdir: Path, dataset: Dataset | None = None
) -> KidCurve | None:
    method = build_method(config, mapped=True)
    dataset = dataset or open_dataset(config.data)
    return KidCurve.open(config.eval, config.data, method, dataset, workdir, None)


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
    curve = open_curve(config, tmp_path)
    assert curve is not None
    curve.forget_after(3)  # as if step 4 had been lost
    assert not any(curve.is_missing(step) for step in (0, 3, 4)) and curve.is_missing(6)
    # 7 is the last one, which is measured even when a run is stopped.
    due = [[curve.is_due(step, 7, stopped) for step in (3, 5, 6, 7)] for stopped in (False, True)]
    assert due == [[True, False, True, True], [False, False, False, True]]
    groups = {"generators": jax.device_get(restore_weights(run, 4).weights)}
    translation = MappedTranslation(build_method(config, mapped=True), make_mesh())
    kids = curve.measure(translation, groups, 6)
    assert [point["step"] for point in points(tmp_path)] == [3, 6]
    assert kids == pytest.approx({name: points(run)[-1][name]["mean"] for name in kids}, rel=1e-4)


@pytest.mark.thorough  # test_train stops runs, and here their points go on
def test_a_run_that_is_stopped_has_the_points_of_one_that_is_not(
    config: ConfigDict, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c_in(name: str, step: int) -> None:
        """When the log has noted this step; the one that follows is the last."""
        method = getattr(loop.Log, name)

        def and_press(log: loop.Log, now: int, *args: Any, **kwargs: Any) -> None:
            method(log, now, *args, **kwargs)
            if now == step:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(loop.Log, name, and_press)

    config = config.copy_and_resolve_references()
    config.checkpoint.keep = 2
    press_ctrl_c_in("advance", 2)
    assert loop.train(config, tmp_path) == 3
    assert describe_checkpoint(tmp_path, 3)["best_step"] is None
    assert not (tmp_path / "kid.json").exists()
    press_ctrl_c_in("write_kids", 3)  # when the owed point is there
    assert loop.train(config, tmp_path) == 4
    undated = [[x | {"date": ""} for x in points(folder)] for folder in (tmp_path, run)]
    assert undated[0] == undated[1]
    owed = {name: 100 * points(run)[0][name]["mean"] for name in ("a2b", "b2a")}
    assert describe_checkpoint(tmp_path, 3)["kid_x100_while_training"] == pytest.approx(owed)


def test_points_that_do_not_compare_are_not_mixed(
    config: ConfigDict, run: Path, tmp_path: Path
) -> None:
    kept = json.loads((run / "kid.json").read_text())
    for name, other, message in (
        ("pictures", {"a": 100, "b": 100}, "was measured with pictures {'a': 100"),
        ("features", {"extractor": "inception-v3", "sha256": "0"}, "was measured with features"),
    ):
        (tmp_path / "kid.json").write_text(json.dumps(kept | {name: other}))
        with pytest.raises(InputError, match=message):
            open_curve(config, tmp_path)
    for broken in ("", "{}", "[]"):
        (tmp_path / "kid.json").write_text(broken)
        with pytest.raises(InputError, match=r"cannot read .*kid\.json .*: move it away"):
            open_curve(config, tmp_path)


def test_it_takes_test_pictures(
    config: ConfigDict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = open_dataset(config.data)
    alone = dataclasses.replace(dataset, test_b=dataset.test_b.first(1))
    assert open_curve(config, tmp_path, alone) is None
    assert "it takes 2 test pictures of each domain" in capsys.readouterr().out
    config = config.copy_and_resolve_references()
    config.eval.every = 0
    assert open_curve(config, tmp_path) is None
    assert capsys.readouterr().out == ""


def test_the_best_checkpoint_is_kept_and_named(config: ConfigDict, tmp_path: Path) -> None:
    save_config(config, tmp_path / "config.json")
    method = build_method(config)
    generators = shapes(method)[0]["generators"]
    kids = {1: 0.4, 2: 0.1, 3: 0.3, 4: None, 5: 0.2}
    with open_checkpoints(tmp_path, config.checkpoint) as checkpoints:
        for step, kid in kids.items():
            full = jax.tree.map(lambda x, s=step: np.full(x.shape, s, x.dtype), generators)
            state = TrainState(jnp.asarray(step), {"generators": full}, {}, {}, ema=None)
            # A lower KID in one direction only makes no best step: both count.
            save(
                checkpoints,
                method,
                state,
                kid and {"a2b": kid + step / 100, "b2a": kid - step / 100},
            )
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} == {2, 5}
    _, step, weights = restore_weights(tmp_path, "best")
    assert step == 2 and {float(x.ravel()[0]) for x in jax.tree.leaves(weights)} == {2.0}
    assert restore_weights(tmp_path).step == 5
    best, newest = describe_checkpoint(tmp_path, 2), describe_checkpoint(tmp_path, 5)
    assert best["is"] == ["best"] and newest["is"] == ["final"]  # of four steps
    assert best["best_step"] == newest["best_step"] == 2 and best["newest_step"] == 5
    assert best["kid_x100_while_training"] == pytest.approx({"a2b": 12.0, "b2a": 8.0})


def test_a_checkpoint_whose_kid_comes_later_may_be_the_best(
    config: ConfigDict, tmp_path: Path
) -> None:
    save_config(config, tmp_path / "config.json")
    method = build_method(config)

    def save_step(step: int, kid: float | None) -> None:
        state = TrainState(jnp.asarray(step), {"generators": np.zeros(1)}, {}, {}, ema=None)
        save(checkpoints, method, state, kid and {"a2b": kid, "b2a": kid})
        checkpoints.wait_until_finished()

    with open_checkpoints(tmp_path, config.checkpoint) as checkpoints:
        save_step(1, None)
    with open_checkpoints(tmp_path, config.checkpoint) as checkpoints:
        add_kids(checkpoints, tmp_path, 1, {"a2b": 0.1, "b2a": 0.3})
        add_kids(checkpoints, tmp_path, 7, {"a2b": 0.0, "b2a": 0.0})  # there is no such checkpoint
        for step in (2, 3):
            save_step(step, step / 10 + 0.1)
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} == {1, 3}
    known = describe_checkpoint(tmp_path, 1)
    assert known["best_step"] == 1
    assert known["kid_x100_while_training"] == {"a2b": 10, "b2a": 30}


def test_a_run_without_kids_has_no_best_checkpoint(config: ConfigDict, tmp_path: Path) -> None:
    save_config(config, tmp_path / "config.json")
    state = TrainState(jnp.asarray(7), {"generators": np.zeros(1)}, {}, {}, ema=None)
    with open_checkpoints(tmp_path, config.checkpoint) as checkpoints:
        save(checkpoints, build_method(config), state)
    assert describe_checkpoint(tmp_path, 7)["best_step"] is None
    with pytest.raises(InputError, match=r"knows its KID: train with config\.eval\.every, or say"):
        restore_weights(tmp_path, "best")


def test_features_that_were_chosen_by_themselves_are_kept(
    config: ConfigDict, tmp_path: Path
) -> None:
    config = config.copy_and_resolve_references()
    config.eval.features, config.data.cache_dir = "auto", str(tmp_path)
    method, dataset = build_method(config), open_dataset(config.data)

    def features(was: Identity | None) -> dict[str, Any]:
        curve = KidCurve.open(config.eval, config.data, method, dataset, tmp_path, was)
        assert curve is not None
        return curve.features

    chosen = features(None)
    assert chosen["extractor"] == "efficientnet-lite0"
    # Since then, Inception's weights have come; these would be refused as damaged.
    (tmp_path / INCEPTION_FILE).write_bytes(b"weights")
    assert features(Identity({}, {}, chosen, {})) == chosen
    with pytest.raises(InputError, match="damaged"):
        features(None)


@pytest.mark.parametrize(
    "odd",
    [
        3,
        {"a2b": {"mean": 1, "std": 1}},
        {"step": "3"},
        {"step": True},
        {"step": 3, "a2b": 1},
        {"step": 3, "a2b": {"mean": None, "std": 0}},
        {"step": 3, "a2b": {"mean": "1", "std": 0}},
        {"step": 3, "a2b": {"mean": float("nan"), "std": 0}},
        {"step": 3, "a2b": {"mean": 10**400, "std": 0}},
        {"step": 3, "a2b": {"mean": 1}},
    ],
)
def test_points_that_are_none_are_told(
    config: ConfigDict, extractor: FeatureExtractor, tmp_path: Path, odd: Any
) -> None:
    method = build_method(config, mapped=True)
    pictures = {"a": Domain([], []), "b": Domain([], [])}
    features = {"extractor": extractor.name, "sha256": extractor.sha256}
    whole = {"mean": 0.5, "std": 0.1}
    point = {"b2a": whole, **({"a2b": whole} | odd)} if isinstance(odd, dict) else odd
    kept = {"features": features, "pictures": {"a": 0, "b": 0}, "points": [point]}
    (tmp_path / "kid.json").write_text(json.dumps(kept))
    with pytest.raises(InputError, match=r"cannot read \S*kid\.json .*: move it away"):
        KidCurve(1, method, pictures, extractor, tmp_path)
    for points in (None, 3, {"step": 3}, "x"):
        (tmp_path / "kid.json").write_text(json.dumps(kept | {"points": points}))
        with pytest.raises(InputError, match=r"cannot read \S*kid\.json"):
            KidCurve(1, method, pictures, extractor, tmp_path)


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return open_extractor("efficientnet-lite0")
