"""Weights of the originals: from their own files into run directories, and back."""

import json
import pickle
import resource
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from flax.traverse_util import flatten_dict
from pytorch_golden import Golden, nhwc

from ugatit_jax.config.records import different_fields, load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.torch_file import read_torch_file
from ugatit_jax.interop import export_weights, import_weights, pytorch, tensorflow
from ugatit_jax.methods import build_method
from ugatit_jax.runs.checkpoints import restore_state, restore_weights
from ugatit_jax.runs.directory import prepare_run

TF_FOLDER = "UGATIT_light_golden_lsgan_4resblock_6dis_1_1_10_10_1000_sn_smoothing"
TF_FILE = Path(__file__).parents[1] / "golden" / "tf_ckpt" / TF_FOLDER / "UGATIT_light.model-2"

StateDicts = dict[str, dict[str, torch.Tensor]]


def state_dicts(golden: Golden) -> StateDicts:
    networks = (*pytorch.GENERATORS.values(), *pytorch.DISCRIMINATORS.values())
    return {
        name: {k: torch.tensor(v) for k, v in golden.state_dict(f"init/{name}/").items()}
        for name in networks
    }


@pytest.fixture(scope="module", params=["light", "full"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


@pytest.fixture(scope="module")
def run_dir(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made of PyTorch's file."""
    folder = tmp_path_factory.mktemp("pytorch")
    source, run = folder / "faces_params_0000123.pt", folder / "run"
    torch.save(state_dicts(golden), source)
    assert import_weights.main([str(source), str(run), "--image_size=96"]) == 0
    return run


def test_pytorch_weights_there_and_back_are_the_same_bits(
    golden: Golden, run_dir: Path, tmp_path: Path
) -> None:
    target = tmp_path / "back.pt"
    assert export_weights.main([str(run_dir), str(target)]) == 0
    back, there = torch.load(target), state_dicts(golden)
    assert back.keys() == there.keys()
    for network, tensors in there.items():
        assert back[network].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert torch.equal(back[network][name], tensor), f"{network} {name}"


def test_a_disk_that_fills_up_leaves_the_weights_that_were_there(
    run_dir: Path, tmp_path: Path
) -> None:
    target = tmp_path / "weights.pt"
    target.write_bytes(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(InputError, match=r"cannot write .*weights\.pt: File too large"):
            export_weights.export_weights(run_dir, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [target]


def test_a_run_of_pytorch_weights_translates_as_recorded(golden: Golden, run_dir: Path) -> None:
    config, step, weights = restore_weights(run_dir)
    assert step == 123
    config.dtype = "float32"
    translate = jax.jit(build_method(config).generate)
    out = translate(weights["a2b"], golden.batch(1)["a"])
    recorded = nhwc(golden.arrays["fwd/genA2B/image"])
    np.testing.assert_allclose(out.image, recorded, atol=1e-5)


def test_a_run_of_pytorch_weights_can_be_trained_on(golden: Golden, run_dir: Path) -> None:
    before = prepare_run(run_dir, golden.config)  # raises for another architecture
    assert before is not None and before.identity is None
    changes = different_fields(golden.config, before.config)
    assert not [field for field in changes if field.startswith(("model", "loss", "train"))]
    _, state = restore_state(run_dir)
    _, adam, schedule = state.optimizers["generators"]
    assert (state.step, adam.count, schedule.count) == (123, 0, 123)


def test_what_pytorch_wrote_before_its_zip_archives(tmp_path: Path) -> None:
    there = {"a": {"w": torch.arange(12.0).reshape(3, 4).T, "n": torch.tensor(5)}}
    path = tmp_path / "old.pt"
    torch.save(there, path, _use_new_zipfile_serialization=False)
    found = read_torch_file(path)["a"]
    np.testing.assert_array_equal(found["w"], there["a"]["w"].numpy())
    assert found["n"] == 5


class Harm:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("harm"),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "noise"])
def test_a_file_runs_no_code_and_is_refused_in_a_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "harmful.pt"
    if kind in ("zip", "legacy"):
        torch.save({"a": Harm()}, source, _use_new_zipfile_serialization=kind == "zip")
    else:
        source.write_bytes(pickle.dumps(Harm()) if kind == "pickle" else b"\x00noise")
    with pytest.raises(InputError) as error:
        import_weights.read_weights(source)
    assert str(error.value).startswith(f"{source} is no PyTorch file of tensors: ")
    assert "\n" not in str(error.value)
    assert not Path("harm").exists()


def misfit(what: str, weights: StateDicts) -> str:
    """Spoil the weights, and return what is to be said of it."""
    tensors = weights["disLB"]
    if what == "another shape":
        tensors["model.4.bias"] = torch.zeros(9)
        return "disLB/model.4.bias has shape (9,), expected (8,)"
    if what == "missing":
        del tensors["conv.weight_u"]
        return "it has no disLB/conv.weight_u, expected of shape (1,)"
    if what == "too many":
        tensors["conv.bias"] = torch.zeros(1)
        return "disLB/conv.bias, of shape (1,), is no part"
    del weights["genA2B"]
    return "holds no U-GAT-IT: there is no genA2B in it"


@pytest.mark.parametrize("what", ["another shape", "missing", "too many", "no generator"])
def test_a_file_that_does_not_fit(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = state_dicts(Golden("light"))
    message = misfit(what, weights)
    source, run = tmp_path / "bad.pt", tmp_path / "run"
    torch.save(weights, source)
    with pytest.raises(SystemExit) as exit_:
        import_weights.main([str(source), str(run)])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.endswith(f"{message}\n") and error.count("\n") == 1
    assert not run.exists()


def test_a_run_is_not_overwritten(run_dir: Path, golden: Golden, tmp_path: Path) -> None:
    source = tmp_path / "new.pt"
    torch.save(state_dicts(golden), source)
    with pytest.raises(InputError, match="is there already"):
        import_weights.main.__wrapped__([str(source), str(run_dir)])


# --- TensorFlow ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tf_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("tensorflow") / "run"
    assert import_weights.main([f"{TF_FILE}.index", str(run), "--image_size=96"]) == 0
    return run


@pytest.fixture(scope="module")
def tf_golden() -> dict[str, np.ndarray]:
    with np.load(TF_FILE.parents[2] / "tf_ckpt_golden.npz") as arrays:
        return dict(arrays)


def test_a_tensorflow_checkpoint_is_recognised(tf_run: Path) -> None:
    config = load_config(tf_run / "config.json")
    assert config.model.light and config.model.spectral_norm and config.model.shared_cam
    assert (config.model.base_width, config.model.residual_blocks) == (3, 4)
    assert (config.model.local_layers, config.model.global_layers) == (5, 7)
    assert (config.loss.kind, config.loss.cam, config.model.rho_margin) == ("lsgan", 1000, 0.1)


def test_every_variable_and_slot_of_a_tensorflow_checkpoint_arrives(
    tf_run: Path, tf_golden: dict[str, np.ndarray]
) -> None:
    _, state = restore_state(tf_run)
    generators, discriminators = (state.optimizers[g][1] for g in ("generators", "discriminators"))
    sums_of, names = (json.loads(str(tf_golden[which])) for which in ("sums", "names"))
    seen = 0
    for slot, g, d in (
        ("", state.params["generators"], state.params["discriminators"]),
        ("/Adam", generators.mu, discriminators.mu),
        ("/Adam_1", generators.nu, discriminators.nu),
    ):
        values = {}
        for direction, network in tensorflow.GENERATORS.items():
            for theirs, ours in tensorflow.generator_names(4).items():
                values[f"{network}/{theirs}"] = flatten_dict(g[direction], sep="/")[ours]
        for (domain, scale), network in tensorflow.DISCRIMINATORS.items():
            ours_by_name = flatten_dict(d[domain][scale], sep="/")
            if not slot:
                ours_by_name |= flatten_dict(state.other["spectral"][domain][scale], sep="/")
            layers = {"local": 5, "global": 7}[scale]
            for theirs, ours in tensorflow.discriminator_names(layers, True).items():
                if ours in ours_by_name:
                    values[f"{network}/{theirs}"] = ours_by_name[ours]
        for name, value in values.items():
            wide = np.asarray(value, np.float64)
            sums = [wide.sum(), np.square(wide).sum()]
            recorded = sums_of[f"{name}{slot}"]
            # All but u, which is brought to unit length, are the same bits.
            tolerance = 1e-6 if name.endswith("/u") else 1e-12
            np.testing.assert_allclose(sums, recorded, rtol=tolerance, atol=tolerance, err_msg=name)
        seen += len(values)
    assert seen + sum("_power" in name for name, _ in names) == len(names)
    # beta2 to the power of the steps done, and one more.
    for name in ("beta2_power", "beta2_power_1"):
        np.testing.assert_allclose(sums_of[name][0], 0.999 ** (state.step + 1), 1e-6)
    assert state.step == generators.count == discriminators.count == 1


def test_a_run_of_tensorflow_weights_says_what_was_recorded(
    tf_run: Path, tf_golden: dict[str, np.ndarray]
) -> None:
    config, state = restore_state(tf_run)
    config.dtype = "float32"
    method = build_method(config)
    translate = jax.jit(method.generate)
    for direction, name, domain in (("a2b", "ab", "A"), ("b2a", "ba", "B")):
        out = translate(state.params["generators"][direction], tf_golden[f"input/{domain}"])
        np.testing.assert_allclose(out.image, tf_golden[f"out/{name}/image"], atol=1e-5)
        np.testing.assert_allclose(out.cam_logits, tf_golden[f"out/{name}/cam_logit"], atol=2e-4)
        np.testing.assert_allclose(out.heatmap[0], tf_golden[f"out/{name}/heatmap"], atol=2e-4)
    spectral = method.refresh("", state.params, state.other)["spectral"]
    judge = jax.jit(lambda d, s, x: method.judge_scales(d, s, x, "a"))
    judgements = judge(state.params["discriminators"], spectral, tf_golden["input/A"])
    for scale, out in judgements.items():
        recorded = tf_golden[f"out/dis_real_A/{scale}_logit"]
        np.testing.assert_allclose(out.logits[..., None], recorded, atol=1e-5)


def test_tensorflow_weights_have_no_form_in_pytorch(tf_run: Path, tmp_path: Path) -> None:
    target = tmp_path / "no.pt"
    with pytest.raises(InputError, match=r"unbiased_variance = False; .* knows True only"):
        export_weights.export_weights(tf_run, target)
    assert not target.exists()


def test_a_damaged_tensorflow_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "damaged.model-3.index").write_bytes(b"noise")
    with pytest.raises(InputError, match=r"cannot read .*damaged.model-3: "):
        import_weights.read_weights(tmp_path / "damaged.model-3")
