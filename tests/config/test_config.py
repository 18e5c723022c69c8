"""Configs: what is refused and in which words, what is compared, what a file keeps."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.flags import load_experiment
from ugatit_jax.config.records import (
    architecture_differences,
    different_fields,
    load_config,
    save_config,
)
from ugatit_jax.console.errors import InputError
from ugatit_jax.methods.ugatit_checks import conventions_of
from ugatit_jax.methods.ugatit_fields import PRESETS
from ugatit_jax.models import Conventions

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "configs").glob("[!_]*.py"))


@pytest.mark.parametrize("variant", ["", ":light", ":tensorflow", ":light,tensorflow"])
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_can_run(path: Path, variant: str) -> None:
    check_config(load_experiment(f"{path}{variant}"), device_count=1)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_have_the_fields_of_the_default_and_no_others(path: Path) -> None:
    differences = different_fields(load_experiment(str(path)), get_config())
    assert not [field for field, values in differences.items() if None in values]


@pytest.mark.parametrize("side", [16, 32, 64, 100, 128, 512])
def test_an_experiment_of_ones_own_is_sensible_at_any_size(tmp_path: Path, side: int) -> None:
    program = (ROOT / "configs" / "folder.py").read_text()
    answered = program.replace("SIZE = (256, 256)", f"SIZE = ({side}, {side})")
    assert (answered == program) == (side == 256)
    (tmp_path / "mine.py").write_text(answered)
    for words in ("", ":light,ours", ":pytorch", ":tensorflow"):
        check_config(load_experiment(f"{tmp_path / 'mine.py'}{words}"), device_count=1)


@pytest.mark.parametrize(
    ("field", "value", "needed"),
    [
        ("train.steps", 0, "1 or more"),
        ("train.batch_size", 0, "1 or more"),
        ("model.base_width", -64, "1 or more"),
        ("checkpoint.keep", 0, "1 or more"),
        ("samples.count", 0, "1 or more"),
        ("log_every", 0, "1 or more"),
        ("model.local_layers", 2, "3 or more"),
        ("train.learning_rate", -1e-4, "0 or more"),
        ("train.learning_rate", math.nan, "0 or more"),
        ("train.weight_decay", math.inf, "0 or more"),
        ("loss.cam", -1.0, "0 or more"),
        ("samples.every", -1, "0 or more"),
        ("train.beta1", 1.0, "in [0, 1)"),
        ("train.ema_decay", math.nan, "in [0, 1)"),
        ("data.load_scale", 0.9, "1 or more"),
        ("seed", -1, "0 to 2147483647"),
        ("dtype", "float16", "one of auto, float32, bfloat16"),
        ("model.initializer", "xavier", "one of normal, truncated_normal, uniform"),
        ("model.decoder_norm", "bn", "one of adalin, in, ln, adain, gn"),
        ("model.cam", "neither", "one of both, none, generator, discriminator"),
        ("model.rho_start", 1.1, "in [0, 1]"),
        ("model.rho_margin", -0.1, "in [0, 1)"),
        ("train.accumulate", 0, "1 or more"),
        ("train.remat", "blocks", "one of none, convolutions, all"),
        ("train.learning_rate_scaling", "log", "one of none, sqrt, linear"),
        ("mesh.model", -1, "0 or more"),
        ("loss.kind", "wgan", "one of lsgan, gan, hinge, wgan-gp, wgan-lp, dragan"),
    ],
)
def test_a_value_that_cannot_work(field: str, value: Any, needed: str) -> None:
    config = get_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError) as error:
        check_config(config, device_count=1)
    assert str(error.value) == f"config.{field} is {value!r}; it must be {needed}"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((30, 32), "is (30, 32); both must be multiples of 4, 16 or more, such as (32, 32)"),
        ((256, 8), "such as (256, 16)"),
        ((-256, 256), "such as (16, 256)"),
        ((256,), "is (256,); it must be (height, width)"),
        ((256.0, 256.0), "it must be (height, width), two whole numbers of px"),
    ],
)
def test_a_size_that_cannot_work(size: tuple[int, ...], words: str) -> None:
    config = get_config()
    config.data.image_size = size
    with pytest.raises(InputError) as error:
        check_config(config, device_count=1)
    assert str(error.value).startswith("config.data.image_size is ")
    assert words in str(error.value)


def test_a_size_too_small_for_the_global_discriminator_and_the_advice_that_mends_it() -> None:
    config = get_config()
    config.data.image_size = (256, 92)
    words = (
        r"global discriminator of 7 layers, which takes 96 px; say --config.model.global_layers=6"
    )
    with pytest.raises(InputError, match=words):
        check_config(config, device_count=1)
    config.model.global_layers = 6
    check_config(config, device_count=1)


def test_devices_that_cannot_share_a_batch_and_the_advice_that_mends_it() -> None:
    config = get_config()
    config.train.batch_size = 12
    words = (
        "batch_size is 12, which 8 devices cannot share evenly; say --config.train.batch_size=16"
    )
    with pytest.raises(InputError, match=words):
        check_config(config, device_count=8)
    config.train.batch_size = 16
    check_config(config, device_count=8)
    config.train.accumulate = 3
    words = (
        r"is 16, which 8 devices, in 3 parts each \(config.train.accumulate\), cannot .*size=24$"
    )
    with pytest.raises(InputError, match=words):
        check_config(config, device_count=8)
    config.train.batch_size = 24
    check_config(config, device_count=8)


def test_devices_that_cannot_share_the_first_dense_layer() -> None:
    config = get_config()
    config.train.batch_size, config.mesh.model = 12, 8
    words = (
        "must divide the 12 devices and the 1048576 rows that they share; say 4, or 0 for as many"
    )
    with pytest.raises(InputError, match=words):
        check_config(config, device_count=12)
    config.mesh.model = 4
    check_config(config, device_count=12)
    config.model.light = True
    with pytest.raises(InputError, match="these networks have nothing to share; say 0"):
        check_config(config, device_count=12)


def test_devices_of_several_slices_share_within_one() -> None:
    config = get_config()
    config.train.batch_size, config.mesh.model = 16, 16
    with pytest.raises(InputError, match=r"must divide the 8 devices .* say 8, or 0"):
        check_config(config, device_count=16, slices=2)
    config.mesh.model = 8
    check_config(config, device_count=16, slices=2)


def test_a_file_keeps_a_config(tmp_path: Path, tiny_config: Callable[[], ConfigDict]) -> None:
    config = tiny_config()
    save_config(config, tmp_path / "config.json")
    loaded = load_config(tmp_path / "config.json")
    assert different_fields(loaded, config) == {}
    assert loaded.data.image_size == (32, 32)
    assert loaded.data.load_scale == 286 / 256


@pytest.mark.parametrize("content", [None, "", "{}", '{"data": 3}', "[1]"])
def test_a_file_that_keeps_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"cannot read the config {path}"):
        load_config(path)


def test_different_fields() -> None:
    config, other = get_config(), get_config("light")
    assert different_fields(config, get_config()) == {}
    other.train.learning_rate = 3e-4
    with other.unlocked():
        del other.seed
    assert different_fields(config, other) == {
        "model.light": (False, True),
        "seed": (0, None),
        "train.learning_rate": (1e-4, 3e-4),
    }


def test_the_size_of_pictures_is_part_of_the_full_architecture_only() -> None:
    for variant, fields in (
        ("", {"data.image_size", "model.base_width"}),
        ("light", {"model.base_width"}),
    ):
        config, other = get_config(variant), get_config(variant)
        other.data.image_size = (128, 128)
        other.model.base_width = 32
        other.train.learning_rate = 3e-4
        assert architecture_differences(config, other).keys() == fields


def test_presets_are_the_conventions_of_the_originals() -> None:
    for variant in ("", "pytorch"):
        assert conventions_of(get_config(variant).model) == Conventions()
    differences = different_fields(get_config("light,tensorflow"), get_config("light"))
    assert {field: ours for field, (ours, _) in differences.items()} == PRESETS["tensorflow"]
    with pytest.raises(ValueError, match="no variant 'torch': leave it out, or say :light, "):
        get_config("light,torch")


def test_a_run_from_before_there_were_presets_has_pytorchs_conventions(tmp_path: Path) -> None:
    config = get_config("light")
    for section, fields in {
        "model": ["spectral_norm", "same_padding", "rho_margin"],
        "loss": ["kind", "penalty"],
        "train": ["decay_kernels_only", "tf1_epsilon", "accumulate", "remat"],
        "mesh": ["model"],
    }.items():
        for field in fields:
            with config.unlocked():
                del config[section][field]
    with config.unlocked():
        del config["method"]
    save_config(config, tmp_path / "config.json")
    assert different_fields(load_config(tmp_path / "config.json"), get_config("light")) == {}
