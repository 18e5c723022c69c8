"""The seam is wide enough: a toy that uses all its doors, and the method of the documentation."""

import functools
import itertools
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
import toy_method
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import create_on, place_batch, training_mesh
from ugatit_jax.inference.exporting import export_run
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import METHODS, build_method
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.training.loop import TrainSteps, train
from ugatit_jax.translate import main as translate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The toy, and the method of docs/new_method.md, beside the others."""
    folder = tmp_path_factory.mktemp("methods")
    code = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "new_method.md").read_text(), re.DOTALL
    )
    (folder / "documented_method.py").write_text(code[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setitem(METHODS, "toy", ("toy_method", "toy_method:Toy"))
        patch.setitem(METHODS, "colours", ("documented_method", "documented_method:ColourTransfer"))
        yield


def make_config(method: str, pictures: Path, **fields: Any) -> ConfigDict:
    config = get_config(method)
    common = {
        "data.source": str(pictures),
        "data.image_size": (16, 16),
        "train.steps": 6,
        "train.batch_size": 8,
        "train.ema_decay": 0.5,
        "log_every": 1,
        "samples.every": 3,
        "samples.count": 2,
        "eval.every": 0,
        "checkpoint.every": 1,
        "checkpoint.keep": 10,
    }
    config.update_from_flattened_dict(common | fields)
    return config


def do_steps(
    config: ConfigDict, devices: list[jax.Device], numbers: Sequence[int] = (2, 3, 4)
) -> tuple[TrainState, list[Any]]:
    """Steps of some numbers: 2 is the last of one phase, 3 and 4 are of another."""
    method = check_config(config, len(devices))
    mesh = training_mesh(method.split, 0, devices)
    create = functools.partial(create_state, build_method(config), config.train, config.seed)
    state = create_on(mesh, create, method.split)
    rng = np.random.default_rng(0)
    shape = (config.train.batch_size, *config.data.image_size, 3)
    noise = {name: rng.integers(0, 256, shape, dtype=np.uint8) for name in method.inputs}
    steps = TrainSteps(method, config.train, config.seed, mesh)
    found = []
    for step in numbers:
        state, metrics = steps(method.phase(step), state, place_batch(noise, mesh))
        found.append(jax.device_get(metrics))
    return state, found


@pytest.mark.parametrize("devices, accumulate", [(8, 1), (4, 2)])
def test_a_toy_computes_the_same_on_any_number_of_devices(
    pictures: Path, devices: int, accumulate: int
) -> None:
    _, of_one = do_steps(make_config("toy", pictures), jax.devices()[:1])
    config = make_config("toy", pictures, **{"train.accumulate": accumulate})
    state, found = do_steps(config, jax.devices()[:devices])
    painter = {f"painter/{term}" for term in ("dark", "judged", "total")}
    painter |= {f"painter/gradient/{group}" for group in ("encoder", "decoder")}
    alone = {"finite", *painter}
    together = {"critic/total", "critic/gradient/critic", *alone}
    assert [metrics.keys() for metrics in of_one] == [alone, together, together]
    for ours, theirs in zip(found, of_one, strict=True):
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-5, err_msg=name)
    assert state.other["turns"] == 5  # one player's, and twice two's
    critic = state.optimizers["critic"][1].count, state.optimizers["encoder"][1].count
    assert critic == (2, 3)


def test_a_bound_shortens_the_gradient_of_its_group_alone(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("toy", pictures, **{"train.weight_decay": 0.0})
    monkeypatch.setattr(toy_method.Toy, "bounds", {"decoder": 1e-3})
    state, _ = do_steps(config, jax.devices()[:1], [2])
    # The first moment is the gradient times 1 - beta1.
    norms = {group: optax.tree.norm(state.optimizers[group][1].mu) for group in state.params}
    np.testing.assert_allclose(norms["decoder"], 0.5e-3, rtol=1e-5)
    assert norms["encoder"] > 0.5e-2


@pytest.fixture(scope="module")
def straight(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("toy") / "run"
    config = make_config("toy", pictures, **{"eval.every": 3, "train.accumulate": 1})
    assert train(config, workdir) == 6
    return workdir


def arrays(workdir: Path, step: int) -> dict[str, np.ndarray]:
    found = {}
    for item in ("translating", "ema", "training"):
        tree = ocp.StandardCheckpointer().restore(workdir / "checkpoints" / str(step) / item)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            found[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found


@pytest.mark.parametrize("killed_after", [2, pytest.param(4, marks=pytest.mark.thorough)])
def test_a_toy_that_was_killed_goes_on_to_the_same_bits(
    straight: Path, pictures: Path, tmp_path: Path, killed_after: int
) -> None:
    workdir = tmp_path / "run"
    program = f"""
        import os, signal
        from pathlib import Path
        import jax
        jax.config.update("jax_num_cpu_devices", 8)
        import test_seam
        from ugatit_jax.methods import METHODS
        from ugatit_jax.training.log import Log
        from ugatit_jax.training.loop import train

        METHODS["toy"] = ("toy_method", "toy_method:Toy")
        advance, workdir = Log.advance, Path({str(workdir)!r})

        def die(log, step, *args, **kwargs):
            advance(log, step, *args, **kwargs)
            if step == {killed_after} + 1:
                while not (workdir / "checkpoints" / "{killed_after}").exists():
                    pass
                os.kill(os.getpid(), signal.SIGKILL)

        Log.advance = die
        fields = {{"eval.every": 3, "train.accumulate": 1}}
        train(test_seam.make_config("toy", Path({str(pictures)!r}), **fields), workdir)
    """
    path = f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'tests' / 'methods'}"
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=dict(jax_environment(), PYTHONPATH=path),
        capture_output=True,
        text=True,
    )
    assert died.returncode == -9, died.stderr
    config = make_config("toy", pictures, **{"eval.every": 3, "train.accumulate": 1})
    assert train(config, workdir) == 6
    ours, theirs = arrays(workdir, 6), arrays(straight, 6)
    assert ours.keys() == theirs.keys() and len(ours) == 19
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def jax_environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_what_a_toy_leaves_for_people(straight: Path) -> None:
    assert (straight / "samples" / "step_0000006.png").exists()
    assert (straight / "kid.png").exists()
    kids = (straight / "kid.json").read_text()
    assert '"a2b"' in kids and '"b2a"' not in kids
    assert ocp.CheckpointManager(straight / "checkpoints").metrics(6).keys() == {"a2b"}


def test_a_toy_translates_in_styles_and_in_one_direction_alone(straight: Path) -> None:
    translator = Translator.load(straight)
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    first, again = translator(np.stack([picture, picture]))
    np.testing.assert_array_equal(translator(picture), first)
    assert np.abs(first.astype(int) - again).max() > 0  # another style for another picture
    (other,) = translator.translate([translator.prepare(picture)], seed=1)
    assert np.abs(first.astype(int) - other.picture).max() > 0
    assert other.looks["brightness"].shape == (16, 16)
    with pytest.raises(InputError, match="no direction 'b2a': choose a2b"):
        translator(picture, direction="b2a")
    with pytest.raises(InputError, match="no way back from a2b"):
        translator.check("a2b", cycle=True)


def test_a_picture_has_its_style_whatever_is_translated_beside_it(
    straight: Path, tmp_path: Path
) -> None:
    folder, rng = tmp_path / "in", np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    names = ["0.png", "1.png", "x/0.png"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)

    def translated(out: Path) -> list[np.ndarray]:
        assert translate([str(straight), str(folder), "--out", str(out)]) == 0
        return [np.asarray(Image.open(out / name)).astype(int) for name in names if name in there]

    there = names
    first = translated(tmp_path / "out")
    for one, other in itertools.combinations(first, 2):  # one picture in three styles
        assert np.abs(one - other).max() > 5
    for name in names[:2]:
        (tmp_path / "out" / name).unlink()
    np.testing.assert_allclose(translated(tmp_path / "out"), first, atol=1)
    (folder / "0.png").unlink()
    there = names[1:]
    np.testing.assert_allclose(translated(tmp_path / "of_less"), first[1:], atol=1)


def test_an_exported_toy_takes_styles(straight: Path, tmp_path: Path) -> None:
    export_run(straight, tmp_path / "out")
    program = jax.export.deserialize((tmp_path / "out" / "generator.stablehlo").read_bytes())
    weights = safetensors.numpy.load_file(tmp_path / "out" / "a2b.safetensors")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    styles = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    result = jax.jit(program.call)(weights, pictures, styles)
    code = np.maximum((pictures / 127.5 - 1) @ weights["encoder/kernel"], 0)
    style = np.broadcast_to(styles[:, None, None], (3, 16, 16, 2))
    expected = np.tanh(np.concatenate([code, style], -1) @ weights["decoder/kernel"])
    np.testing.assert_allclose(result, (expected + 1) * 127.5, atol=0.51)
    with pytest.raises(InputError, match="translates a2b alone, not b2a"):
        export_run(straight, tmp_path / "other", directions=["b2a"])


def test_an_input_of_its_own_has_its_own_order_and_preparation(pictures: Path) -> None:
    from ugatit_jax.data import datasets, input_pipeline

    data = make_config("toy", pictures).data
    data.flip, data.load_scale = False, 1.0
    domain = datasets.open_dataset(data).train_b
    streams = {
        "a": datasets.Stream(domain),
        "b": datasets.Stream(domain),
        "dark": datasets.Stream(domain, toy_method.darken),
    }
    batch = next(input_pipeline.train_batches(streams, data, seed=0, batch_size=8))

    def sorted_pictures(x: np.ndarray) -> list[bytes]:
        return sorted(picture.tobytes() for picture in x)

    assert sorted_pictures(batch["dark"]) == sorted_pictures(batch["b"] // 2)
    assert (batch["dark"] != batch["b"] // 2).any() and (batch["a"] != batch["b"]).any()


def test_the_documented_method_trains_and_translates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    means = {"A": (40, 80, 200), "B": (200, 120, 60)}
    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        for i in range(8):
            noise = rng.normal(means[split[-1]], 20, (20, 20, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / "pictures" / split / f"{i}.png")
    config = make_config(
        "colours", tmp_path / "pictures", **{"train.steps": 60, "samples.every": 0}
    )
    config.checkpoint.every = 1000
    assert train(config, tmp_path / "run") == 60
    translator = Translator.load(tmp_path / "run")
    picture = np.asarray(Image.open(tmp_path / "pictures" / "testA" / "0.png"))
    for direction, target in (("a2b", "B"), ("b2a", "A")):
        source = np.asarray(Image.open(tmp_path / f"pictures/test{direction[0].upper()}/0.png"))
        before = np.abs(source.mean((0, 1)) - means[target]).max()
        after = np.abs(translator(source, direction).mean((0, 1)) - means[target]).max()
        assert after < before / 4, direction
    assert picture.shape == (20, 20, 3)


Make = Callable[[], ConfigDict]
