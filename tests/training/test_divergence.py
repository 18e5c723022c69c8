"""Steps that are not finite: found, reported, and left out or gone back from. On a real illness.

`Fragile` divides by how much a translation varies, or takes the root of it, which has no derivative
at 0: one picture without any variation is enough.
"""

import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import toy_method
from jax import Array
from ml_collections import ConfigDict
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import create_on, make_mesh, place_batch
from ugatit_jax.main import main
from ugatit_jax.methods import METHODS, build_method
from ugatit_jax.methods.method import Context, Params, Terms
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.runs.checkpoints import restore_state
from ugatit_jax.runs.directory import saved_steps
from ugatit_jax.training import loop
from ugatit_jax.training.divergence import Diverged, Guard, History, first_of
from ugatit_jax.training.loop import TrainSteps, train
from ugatit_jax.training.step import FINITE

STEPS = 10


class Fragile(toy_method.Toy):
    """Its translations are to vary."""

    def painter_loss(self, params: Params, first: Any, context: Context) -> tuple[Array, Terms]:
        total, terms = super().painter_loss(params, first, context)
        fake, _ = self.translate(params, context.batch["a"], "a2b", context.noise["style"])
        variation = self.vary(jnp.square(fake - fake[:, :1, :1]).mean((1, 2, 3))).mean()
        total = total - 0.1 * variation
        return total, terms | {"total": total, "variation": variation}

    def vary(self, variance: Array) -> Array:
        return jnp.sqrt(variance)


class Dividing(Fragile):
    """And it shows in the term itself."""

    def vary(self, variance: Array) -> Array:
        return -1e-3 / variance


class Robust(Fragile):
    """As it should have been."""

    def vary(self, variance: Array) -> Array:
        return jnp.sqrt(variance + 1e-6)


@pytest.fixture(autouse=True)
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Fragile", "Dividing", "Robust"):
        monkeypatch.setitem(METHODS, name.lower(), ("toy_method", f"{__name__}:{name}"))


@pytest.fixture(scope="module")
def blank_among_them(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of noise, and one of domain A that is black all over."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    for split, count in (("trainA", 40), ("trainB", 16)):
        (root / split).mkdir()
        for i in range(count):
            noise = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(noise * (split == "trainB" or i != 7)).save(root / split / f"{i}.png")
    return root


Make = Callable[..., ConfigDict]


@pytest.fixture
def make(blank_among_them: Path) -> Make:
    def config(method: str = "fragile", **fields: Any) -> ConfigDict:
        config = get_config(method)
        common = {
            "data.source": str(blank_among_them),
            "data.image_size": (16, 16),
            "train.steps": STEPS,
            "train.batch_size": 8,
            "log_every": 1,
            "samples.every": 0,
            "eval.every": 0,
            "checkpoint.every": 1,
            "checkpoint.keep": STEPS,
        }
        with config.unlocked():
            config.update_from_flattened_dict(common | fields)
        return config

    return config


def batches(config: ConfigDict, orders: int = 0) -> Iterator[dict[str, np.ndarray]]:
    from ugatit_jax.data import datasets, input_pipeline

    dataset = datasets.open_dataset(config.data)
    streams = {
        "a": datasets.Stream(dataset.train_a),
        "b": datasets.Stream(dataset.train_b),
        "dark": datasets.Stream(dataset.train_b, toy_method.darken),
    }
    seed = config.seed + loop.OTHER_ORDER * orders
    return input_pipeline.train_batches(streams, config.data, seed, config.train.batch_size)


def blank_steps(config: ConfigDict, orders: int = 0) -> list[int]:
    """The steps whose batch has the black picture, by the stream alone."""
    found = zip(range(1, STEPS + 1), batches(config, orders), strict=False)
    return [step for step, batch in found if (batch["a"] == 0).all((1, 2, 3)).any()]


def arrays(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint, read without the program."""
    found = {}
    for item in ("translating", "training"):
        tree = ocp.StandardCheckpointer().restore(workdir / "checkpoints" / str(step) / item)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            found[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys() and len(ours) > 10
    for name, array in ours.items():
        assert np.isfinite(array).all(), name
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def reports(workdir: Path) -> dict[str, dict[str, Any]]:
    found = sorted((workdir / "divergence").glob("*/report.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in found}


def go_on_from(workdir: Path, step: int, copy: Path) -> Path:
    """A copy of a run as it was when nothing after a step was saved yet."""
    shutil.copytree(workdir, copy)
    for later in saved_steps(copy):
        if later > step:
            shutil.rmtree(copy / "checkpoints" / str(later))
            (copy / "checksums" / f"{later}.json").unlink(missing_ok=True)
    return copy


@pytest.mark.parametrize(
    "method, first, value",
    [("fragile", "painter/gradient/decoder", "nan"), ("dividing", "painter/variation", "-inf")],
)
def test_a_run_stops_says_why_and_keeps_what_there_was(
    make: Make,
    method: str,
    first: str,
    value: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, workdir = make(method, log_every=100, **{"checkpoint.every": 2}), tmp_path / "run"
    save_config(config, tmp_path / "config.json")
    assert main([f"--config={tmp_path / 'config.json'}", f"--workdir={workdir}"]) == 3
    bad = blank_steps(config)[0]
    assert 2 < bad < STEPS  # or this shows nothing
    said = capsys.readouterr().err.strip().splitlines()[-1]
    folder = workdir / "divergence" / str(bad)
    assert re.match(
        rf"error: {first} is {value} at step {bad}, which is not saved: {folder} ", said
    )
    assert "lower config.train.learning_rate" in said
    assert saved_steps(workdir) == list(range(2, bad, 2))
    assert all(np.isfinite(x).all() for x in arrays(workdir, saved_steps(workdir)[-1]).values())

    (report,) = reports(workdir).values()
    assert (report["step"], report["first"], report["action"]) == (bad, first, "stop")
    assert report["metrics"][first] == value and report["metrics"]["painter/dark"] > 0
    assert set(report["not_finite"]) == {k for k, x in report["metrics"].items() if type(x) is str}
    assert "painter/dark" not in report["not_finite"] and len(report["what_helps"]) > 2
    *_, batch = itertools.islice(batches(config), bad)
    for name in ("a", "b", "dark"):  # 8 pictures in 3 rows
        picture = np.asarray(Image.open(folder / f"{name}.png"))
        tiles = picture.reshape(3, 16, 3, 16, 3).swapaxes(1, 2).reshape(9, 16, 16, 3)
        np.testing.assert_array_equal(tiles[:8], batch[name])
        assert (tiles[8] == 255).all()
    # Who starts it again is at the same place, and finds the same.
    assert main([f"--config={tmp_path / 'config.json'}", f"--workdir={workdir}"]) == 3
    assert list(reports(workdir)) == [str(bad)]


@pytest.fixture
def skipped(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert train(make(on_nonfinite="skip"), tmp_path / "skipped") == STEPS
    return tmp_path / "skipped"


def test_a_step_that_is_left_out_changes_nothing(
    make: Make, skipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make()
    bad = blank_steps(config)
    assert len(bad) > 1
    # By steps that know nothing of it, and are done by hand where they are finite.
    mesh, method = make_mesh(), build_method(config, mapped=True)
    state: TrainState = create_on(mesh, lambda: create_state(method, config.train, config.seed))
    steps, left_out = TrainSteps(method, config.train, config.seed, mesh), []
    for step, batch in zip(range(1, STEPS + 1), batches(config), strict=False):
        done, metrics = steps(method.phase(step - 1), state, place_batch(batch, mesh))
        if not metrics[FINITE]:
            left_out.append(step)
            done = state.replace(step=done.step)  # type: ignore[attr-defined]
        state = done
    assert left_out == bad
    _, found = restore_state(skipped, STEPS)
    for path, ours in jax.tree_util.tree_leaves_with_path(found):
        theirs: Any = state
        for key in path:
            theirs = (
                getattr(theirs, key.name)
                if hasattr(key, "name")
                else theirs[key.key if hasattr(key, "key") else key.idx]
            )
        np.testing.assert_array_equal(ours, theirs, err_msg=jax.tree_util.keystr(path))
    assert [report["step"] for report in reports(skipped).values()] == sorted(bad, key=str)
    events = EventAccumulator(str(skipped), size_guidance={"tensors": 0}).Reload()
    said = [event.step for event in events.Tensors("warnings")]
    assert said == bad
    logged = [event.step for event in events.Tensors("painter/gradient/decoder")]
    assert logged == [step for step in range(1, STEPS + 1) if step not in bad]

    # A run that goes on from before comes by the same steps, and counts none of them twice.
    copy = go_on_from(skipped, bad[0] - 1, tmp_path / "copy")
    config = make(on_nonfinite="skip")
    assert train(config, copy) == STEPS
    assert_same(arrays(copy, STEPS), arrays(skipped, STEPS))
    assert reports(copy) == reports(skipped)


def test_so_many_steps_are_left_out_and_no_more(make: Make, tmp_path: Path) -> None:
    config = make(on_nonfinite="skip", nonfinite_limit=1)
    first, second, *_ = blank_steps(config)
    with pytest.raises(Diverged, match=rf" at step {second}, .*nonfinite_limit lets pass$"):
        train(config, tmp_path / "run")
    assert saved_steps(tmp_path / "run")[-1] == second - 1
    actions = {report["step"]: report["action"] for report in reports(tmp_path / "run").values()}
    assert actions == {first: "skip", second: "stop"}
    with pytest.raises(Diverged):  # nor are there others for who starts it again
        train(config, tmp_path / "run")


def test_a_run_goes_back_and_on_with_other_pictures(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps, workdir = 8, tmp_path / "run"
    fields = {"checkpoint.every": 2, "train.steps": steps}
    config = make(on_nonfinite="rollback", seed=2, **fields)
    assert train(config, workdir) == steps
    # What it should have done, by the streams alone.
    expected: list[tuple[int, int]] = []
    step = 0
    while bad := [x for x in blank_steps(config, len(expected)) if step < x <= steps]:
        step = (bad[0] - 1) // 2 * 2
        expected.append((bad[0], step))
    found = sorted(
        (report["orders"], report["step"], report["goes_on_from"])
        for report in reports(workdir).values()
    )
    assert found == [(i, *each) for i, each in enumerate(expected)]
    assert len(found) > len(set(expected)) > 1  # twice at the same place, and at others
    said = capsys.readouterr().out
    for at, back in expected:
        assert f"at step {at}, and training goes on from step {back} with" in said

    # A run that goes on from after the last of them goes on with the order that it had.
    copy = go_on_from(workdir, expected[-1][1], tmp_path / "copy")
    assert train(config, copy) == steps
    assert_same(arrays(copy, steps), arrays(workdir, steps))
    assert reports(copy) == reports(workdir)


def test_a_run_goes_back_so_often_and_no_more(make: Make, tmp_path: Path) -> None:
    # Whatever the pictures, and before anything is saved.
    config = make(on_nonfinite="rollback", nonfinite_limit=2, **{"train.learning_rate": 1e38})
    with pytest.raises(Diverged, match=r"; 2 such steps are as many as config.nonfinite_limit"):
        train(config, tmp_path / "run")
    assert [r["action"] for r in reports(tmp_path / "run").values()].count("rollback") == 2


def test_finite_steps_are_the_same_bits_whatever_is_done_about_others(
    make: Make, tmp_path: Path
) -> None:
    fields = {"train.steps": 5, "checkpoint.every": 5}
    for action in ("stop", "skip", "rollback"):
        assert train(make("robust", on_nonfinite=action, **fields), tmp_path / action) == 5
    for action in ("skip", "rollback"):
        assert_same(arrays(tmp_path / action, 5), arrays(tmp_path / "stop", 5))
    assert not (tmp_path / "stop" / "divergence").exists()


def test_what_was_not_finite_first() -> None:
    nan, inf = float("nan"), float("inf")
    players = ("discriminator", "generator")
    values = {
        "generator/total": nan,
        "generator/cycle": nan,
        "generator/cycle/b": inf,
        "generator/gradient/generators": nan,
        "norm/generators": nan,
        "discriminator/total": 1.0,
    }
    assert first_of(values, players) == "generator/cycle/b"
    assert first_of(values | {"discriminator/gradient/x": nan}, players) == (
        "discriminator/gradient/x"
    )
    assert first_of({"norm/a": nan, "generator/gradient/x": inf}, players) == "generator/gradient/x"


def test_parameters_that_are_not_finite_cannot_be_left_out(tmp_path: Path) -> None:
    warned: list[str] = []
    guard = Guard(
        "skip", 10, ["player"], tmp_path, History(), 0, lambda: 0, lambda step: {},
        lambda step, text: warned.append(text),
    )  # fmt: skip
    fine = {"player/x": jnp.ones(()), FINITE: jnp.ones(())}
    guard.check(1, fine)
    guard.check(2, fine | {"norm/x": jnp.ones(())})
    with pytest.raises(Diverged, match=r"^norm/x is inf at step 3, which is not saved: "):
        guard.check(3, fine | {"norm/x": jnp.asarray(jnp.inf)})
    assert warned == []


def test_a_report_that_cannot_be_written_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "divergence").write_text("a file where a folder should be")
    guard = Guard(
        "stop", 10, ["player"], tmp_path, History(), 0, lambda: 0, lambda step: {},
        lambda step, text: None,
    )  # fmt: skip
    with pytest.raises(Diverged, match=r"^player/x is nan at step 3, .* could not be written \("):
        guard.check(3, {"player/x": jnp.asarray(jnp.nan), FINITE: jnp.zeros(())})


def test_a_report_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "divergence" / "3").mkdir(parents=True)
    for text in ("", "{}", '{"action": "pray", "goes_on_from": 3}', '{"action": "skip"}'):
        (tmp_path / "divergence" / "3" / "report.json").write_text(text)
        with pytest.raises(InputError, match=r"3/report\.json .*restore the file$"):
            History.read(tmp_path)
