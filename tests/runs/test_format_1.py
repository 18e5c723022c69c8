"""A run and an export that an earlier program wrote: read, translated with, and gone on with.

golden/format_1/run is a run of `configs/default.py:light` on emoji at its step 3, `export` is made
of its step 6, and step_6.npz holds a few arrays of that step.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax import export
from safetensors.numpy import load_file

from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import different_fields, load_config
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.runs.checkpoints import (
    describe_checkpoint,
    restore_judges,
    restore_state,
    restore_weights,
)
from ugatit_jax.runs.directory import saved_steps

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "format_1"
RUN, EXPORT = GOLDEN / "run", GOLDEN / "export"


def read(checkpoint: Path, item: str) -> Any:
    """An item of a checkpoint as orbax alone reads it, a tree of NumPy's arrays."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        found = checkpointer.metadata(checkpoint / item).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), found)
        return checkpointer.restore(checkpoint / item, restore_args=as_numpy)


def assert_same(tree: Any, expected: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_the_config_is_that_of_today_with_the_fields_that_were_set() -> None:
    config = load_config(RUN / "config.json")
    assert config.method == "ugatit"
    assert different_fields(config, get_config("light")) == {
        "data.source": ("emoji", ""),
        "data.image_size": ((16, 16), (256, 256)),
        "model.base_width": (2, 64),
        "model.residual_blocks": (1, 4),
        "model.local_layers": (3, 5),
        "model.global_layers": (3, 7),
        "train.steps": (6, 1_000_000),
        "train.ema_decay": (0.5, 0.0),
        "samples.every": (0, 1_000),
        "eval.every": (0, 10_000),
        "checkpoint.every": (3, 5_000),
        "log_every": (1, 100),
    }


def test_what_translates_is_the_moving_average() -> None:
    _, step, weights = restore_weights(RUN)
    average, last = (read(RUN / "checkpoints" / "3", item) for item in ("ema", "generators"))
    assert step == 3
    assert_same(weights, average)
    assert (weights["a2b"]["down_0"]["kernel"] != last["a2b"]["down_0"]["kernel"]).any()

    translator, picture = Translator.load(RUN), noise(16, 16, 3)
    method: Any = build_method(load_config(RUN / "config.json"))
    for way in ("a2b", "b2a"):
        by_hand = method.generator.apply({"params": average[way]}, picture[None] / 127.5 - 1).image
        expected = (np.asarray(by_hand[0]) + 1) * 127.5
        assert expected.std() > 5
        np.testing.assert_allclose(translator(picture, way), expected, atol=1)


def test_all_else_is_read() -> None:
    training = read(RUN / "checkpoints" / "3", "training")
    config, params, other = restore_judges(RUN)
    assert config.train.steps == 6
    assert_same(params, {"discriminators": training["discriminators"]})
    assert_same(other, {"spectral": training["spectral"]})

    _, state = restore_state(RUN, 3)
    assert int(state.step) == 3 and state.ema is None
    assert_same(state.params["discriminators"], training["discriminators"])
    assert_same(state.params["generators"], read(RUN / "checkpoints" / "3", "generators"))
    for group, name in (
        ("generators", "generator_optimizer"),
        ("discriminators", "discriminator_optimizer"),
    ):
        found, kept = state.optimizers[group], training[name]
        assert int(found[1].count) == int(kept[1]["count"]) == 3
        assert_same(found[1].mu, kept[1]["mu"])
        assert_same(found[1].nu, kept[1]["nu"])
    assert describe_checkpoint(RUN, 3)["is"] == ["newest"]


def test_it_goes_on_as_it_would_have(tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(RUN, workdir)
    subprocess.run(
        [sys.executable, "-m", "ugatit_jax.main", f"--config={workdir / 'config.json'}"],
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},  # a batch of one picture
        check=True,
        timeout=500,
    )
    assert saved_steps(workdir) == [3, 6]
    newest = workdir / "checkpoints" / "6"
    training = read(newest, "training")
    items = {
        "generators": read(newest, "translating")["generators"],
        "ema": read(newest, "ema")["generators"],
        "training": {
            "step": training["step"],
            "discriminators": training["params"]["discriminators"],
            "spectral": training["other"]["spectral"],
            "generator_optimizer": training["optimizers"]["generators"],
            "discriminator_optimizer": training["optimizers"]["discriminators"],
        },
    }
    with np.load(GOLDEN / "step_6.npz") as expected:
        assert len(expected) == 13
        for name, array in expected.items():
            found = items
            for key in name.split("/"):
                found = found[int(key) if isinstance(found, list | tuple) else key]
            scale = max(1, np.abs(array).max())  # moments are of the gradients' size
            np.testing.assert_allclose(found, array, rtol=0, atol=1e-5 * scale, err_msg=name)
    # Both formats lie in one run now, and either is read.
    assert [restore_weights(workdir, step).step for step in (None, 3)] == [6, 3]


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_the_export_translates(direction: str) -> None:
    pictures = noise(2, 16, 16, 3)
    program = export.deserialize(bytearray((EXPORT / "generator.stablehlo").read_bytes()))
    weights = load_file(EXPORT / f"{direction}.safetensors")
    expected = np.asarray(jax.jit(program.call)(weights, pictures)).astype(int)
    translator = Translator.load(EXPORT)
    assert translator.step == 6 and expected.std() > 5
    np.testing.assert_allclose(translator(pictures, direction), expected, atol=1)
