"""What a run is: recorded at each start, and compared at the next one."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest
from ml_collections import ConfigDict

import ugatit_jax
from ugatit_jax.config.records import different_fields, flatten, load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.methods import METHODS
from ugatit_jax.runs.directory import FORMAT, prepare_run, record_start
from ugatit_jax.runs.identity import Identity
from ugatit_jax.training.loop import prepare

# Another value for every field but `method` and those that are folders.
OTHERS: dict[str, Any] = {
    "init_from": "emoji",
    "seed": 1,
    "dtype": "bfloat16",
    "on_nonfinite": "skip",
    "nonfinite_limit": 3,
    "log_every": 2,
    "wandb": "faces",
    "model.light": False,
    "model.mlp_pool": 2,
    "model.base_width": 8,
    "model.residual_blocks": 2,
    "model.local_layers": 4,
    "model.global_layers": 3,
    "model.initializer": "uniform",
    "model.spectral_norm": False,
    "model.decoder_norm": "gn",
    "model.cam": "none",
    "model.unbiased_variance": False,
    "model.affine_instance_norm": True,
    "model.bias_everywhere": True,
    "model.shared_cam": True,
    "model.same_padding": True,
    "model.skip": "full",
    "model.shifts": 2,
    "model.flatten": 5,
    "model.soft_threshold": 0.3,
    "model.rho_start": 1.0,
    "model.rho_margin": 0.1,
    "loss.kind": "hinge",
    "loss.penalty": 1.0,
    "loss.adversarial": 2.0,
    "loss.cycle": 5.0,
    "loss.identity": 5.0,
    "loss.cam": 500.0,
    "data.image_size": (32, 36),
    "data.load_scale": 1.0,
    "data.flip": False,
    "data.skip_bad": True,
    "data.cache_gib": 1.0,
    "mesh.model": 1,
    "train.steps": 8,
    "train.batch_size": 32,
    "train.learning_rate": 2e-4,
    "train.beta1": 0.9,
    "train.beta2": 0.99,
    "train.weight_decay": 0.0,
    "train.decay_kernels_only": True,
    "train.tf1_epsilon": True,
    "train.accumulate": 2,
    "train.remat": "all",
    "train.deterministic": True,
    "train.learning_rate_scaling": "sqrt",
    "train.ema_decay": 0.0,
    "samples.every": 0,
    "samples.count": 1,
    "eval.every": 2,
    "eval.pictures": 2,
    "eval.held_out": 0.25,
    "eval.features": "efficientnet-lite0",
    "checkpoint.every": 2,
    "checkpoint.keep": 1,
    "checkpoint.keep_every": 0,
}
# How a training of the fields of `model` begins, which says nothing of what its parameters mean.
BESIDE = {"model.initializer", "model.rho_start"}
BESIDE |= {"model.shifts", "model.flatten", "model.soft_threshold"}

Run = tuple[Path, Callable[[], ConfigDict]]


@pytest.fixture
def run(tmp_path: Path, pictures: Path, tiny_config: Callable[[], ConfigDict]) -> Run:
    """A run with a checkpoint that nobody reads, and a function that returns its config."""

    def config() -> ConfigDict:
        values = tiny_config()
        values.train.batch_size = 16  # for eight devices in two parts
        values.data.source = str(tmp_path / "pictures")
        return values

    shutil.copytree(pictures, tmp_path / "pictures")
    workdir = tmp_path / "run"
    with contextlib.ExitStack() as until_the_end:
        training = prepare(config(), workdir, False, until_the_end)
    record_start(workdir, config(), training.identity, 0)
    (workdir / "checkpoints" / "1").mkdir(parents=True)
    return workdir, config


def start(workdir: Path, config: ConfigDict, changed: bool = False) -> None:
    with contextlib.ExitStack() as until_the_end:
        prepare(config, workdir, changed, until_the_end)


def refusal(workdir: Path, config: ConfigDict, changed: bool = False) -> str:
    """What is said of a start that is refused, without the run's folder."""
    with pytest.raises(InputError) as error:
        start(workdir, config, changed)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"the run in {workdir} ")


def test_the_same_start_goes_on(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    workdir, config = run
    start(workdir, config())
    start(workdir, config(), changed=True)
    start(workdir, load_config(workdir / "config.json"))
    assert "from here on" not in capsys.readouterr().out


def test_every_field_that_changes_is_named(
    run: Run, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir, config = run
    folders = {"data.source": str(pictures), "data.cache_dir": str(tmp_path / "cache")}
    others = OTHERS | folders
    before = flatten(config())
    assert others.keys() | {"method"} == before.keys()
    for field, value in others.items():
        other = config()
        other.update_from_flattened_dict({field: value})
        said = refusal(workdir, other)
        kept = [list(x) if isinstance(x, tuple) else x for x in (value, before[field])]
        of_model = field.startswith("model.") and field not in BESIDE
        if of_model or field == "train.decay_kernels_only":  # the optimiser keeps other arrays
            named = f"has another architecture: config.{field} is {value!r} and was "
            assert said.startswith(named + repr(before[field])), said
            assert refusal(workdir, other, changed=True) == said
            continue
        named = f"config.{field} is {kept[0]!r} and was {kept[1]!r}"
        assert said.startswith(f"was another: {named}"), said
        assert said.endswith(
            ". Say --continue to go on like this, or take what it had, or another --workdir"
        )
        capsys.readouterr()
        start(workdir, other, changed=True)
        assert f"from here on {named}\n" in capsys.readouterr().out


def test_the_size_of_full_generators_is_their_architecture(
    run: Run, tiny_config: Callable[[], ConfigDict]
) -> None:
    workdir, config = run
    full = config()
    full.model.light = False
    record_start(workdir, full, None, 0)
    full.data.image_size = (32, 36)
    assert refusal(workdir, full).startswith(
        "has another architecture: config.data.image_size is (32, 36) and was (32, 32); "
    )


def test_another_method_is_another_architecture(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    workdir, config = run
    other = config()
    other.method = "another"
    assert refusal(workdir, other).startswith("config.method is 'another'; it must be one of ugat")
    monkeypatch.setitem(METHODS, "another", METHODS["ugatit"])
    said = "has another architecture: config.method is 'another' and was 'ugatit'; "
    monkeypatch.setattr("ugatit_jax.config.checks._RULES", ())
    assert refusal(workdir, other).startswith(said)


def test_other_pictures_are_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    workdir, config = run
    source = Path(config().data.source)
    shutil.copy(source / "trainA" / "0.png", source / "trainA" / "more.png")
    (source / "testB" / "0.png").rename(source / "testB" / "renamed.png")
    (source / "testA" / "0.png").unlink()
    changes = (
        "the pictures of test_a are 2 and were 3",
        "the pictures of test_b are others and were 2",
        "the pictures of train_a are 10 and were 9",
    )
    assert refusal(workdir, config()).startswith(f"was another: {'; '.join(changes)}. Say --con")
    start(workdir, config(), changed=True)
    said = [line for line in capsys.readouterr().out.splitlines() if "from here on" in line]
    assert said == [f"from here on {change}" for change in changes]


def test_other_features_are_told() -> None:
    inception, other = ({"extractor": "inception-v3", "sha256": x} for x in "xy")
    lite = {"extractor": "efficientnet-lite0", "sha256": "z"}
    for now, then, said in (
        (inception, inception, []),
        (lite, inception, ["KID looks at efficientnet-lite0 and did at inception-v3"]),
        (other, inception, ["KID looks at another inception-v3 and did at inception-v3"]),
        (None, lite, ["KID looks at nothing and did at efficientnet-lite0"]),
    ):
        assert Identity({}, {}, now, {}).differences(Identity({}, {}, then, {})) == said


def test_other_networks_that_losses_look_at_are_told() -> None:
    one, other = ({"network": "VGG16", "layer": "conv4_3", "sha256": x * 64} for x in "12")
    for now, then, said in (
        ({"content": one}, {"content": one}, []),
        (
            {"content": one},
            {"content": other},
            [
                "content is told by VGG16 (SHA-256 11111111…) and was by VGG16 (SHA-256 22222222…)",
            ],
        ),
        ({}, {"content": one}, ["content is told by nothing and was by VGG16 (SHA-256 11111111…)"]),
    ):
        was, is_now = Identity({}, {}, None, {}, then), Identity({}, {}, None, {}, now)
        assert is_now.differences(was) == said
    before_there_were = {"config": {}, "pictures": {}, "features": None, "broken": {}}
    assert Identity.from_json(before_there_were).fixed == {}


def test_a_file_keeps_an_identity(run: Run) -> None:
    workdir, config = run
    with contextlib.ExitStack() as until_the_end:
        identity = prepare(config(), workdir, False, until_the_end).identity
    record_start(workdir, config(), identity, 1)
    before = prepare_run(workdir, config())
    assert before is not None and before.identity == identity
    assert different_fields(before.config, config()) == {}
    record = json.loads((workdir / "run.json").read_text())
    for damage in ("x", [1], {"config": {}}):
        (workdir / "run.json").write_text(json.dumps(record | {"identity": damage}))
        with pytest.raises(InputError, match=r"^cannot read .*run\.json .*: restore the file$"):
            prepare_run(workdir, config())


def test_a_run_goes_on_with_the_same_architecture_only(
    tmp_path: Path, tiny_config: Callable[[], ConfigDict]
) -> None:
    config, other = tiny_config(), tiny_config()
    workdir = tmp_path / "new" / "run"
    assert prepare_run(workdir, config) is None
    record_start(workdir, config, None, 0)
    other.model.base_width, other.model.light = 8, False
    assert prepare_run(workdir, other) is None  # nothing was saved yet

    (workdir / "checkpoints" / "1").mkdir(parents=True)
    with pytest.raises(InputError) as error:
        prepare_run(workdir, other)
    assert str(error.value) == (
        f"the run in {workdir} has another architecture: config.model.base_width is 8 and was 4, "
        "config.model.light is False and was True; "
        "take the values that it had, or another --workdir"
    )
    config.train.learning_rate = 0.5
    before = prepare_run(workdir, config)
    assert before is not None and before.identity is None
    assert different_fields(config, before.config) == {"train.learning_rate": (0.5, 1e-4)}


def test_every_start_is_recorded(tmp_path: Path, tiny_config: Callable[[], ConfigDict]) -> None:
    config = tiny_config()
    record_start(tmp_path, config, None, 0)
    config.train.steps = 7
    identity = Identity.of(config, {"train_a": {"count": 1, "sha256": "x"}}, None, {}, {})
    record_start(tmp_path, config, identity, 3)
    assert different_fields(load_config(tmp_path / "config.json"), config) == {}
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["format"] == FORMAT
    assert Identity.from_json(record["identity"]) == identity
    assert [start["step"] for start in record["starts"]] == [0, 3]
    for recorded in record["starts"]:
        assert recorded.keys() == {
            "date",
            "step",
            "command",
            "devices",
            "git",
            "versions",
            "origin",
        }
        assert recorded["devices"] == ["cpu"] * 8
        assert recorded["versions"]["ugatit_jax"] == ugatit_jax.__version__
        assert recorded["versions"]["jax"] == jax.__version__
