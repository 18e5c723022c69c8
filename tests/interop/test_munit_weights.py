"""Weights of UNIT's and MUNIT's authors: files that PyTorch writes become runs that do the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_munit
import torch
from pytorch_golden import nhwc

from ugatit_jax.config.records import load_config
from ugatit_jax.inference.translator import Translator
from ugatit_jax.interop import munit
from ugatit_jax.interop.import_weights import main

WIDTH, BLOCKS, STYLE = 4, 2, 3
Nets = dict[str, Any]


def generators(method: str) -> Nets:
    def one(seed: int) -> Any:
        munits = method == "munit"
        net = (
            pytorch_munit.Munit(WIDTH, BLOCKS, STYLE)
            if munits
            else pytorch_munit.Unit(WIDTH, BLOCKS)
        )
        return pytorch_munit.randomize(net, seed)

    return {"a": one(0), "b": one(1)}


def save(nets: Nets, path: Path) -> Path:
    torch.save({x: net.state_dict() for x, net in nets.items()}, path)
    return path


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def as_torch(picture: np.ndarray) -> torch.Tensor:
    return torch.tensor(picture.transpose(2, 0, 1)[None] / 127.5 - 1, dtype=torch.float32)


def levels(x: torch.Tensor) -> np.ndarray:
    return (nhwc(x.detach().numpy())[0] + 1) * 127.5


def test_a_file_of_munit_translates_as_pytorch_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nets = generators("munit")
    source = save(nets, tmp_path / "gen_00000700.pt")
    assert b"running_mean" in source.read_bytes()  # AdaIN's, without a use
    judges = {x: pytorch_munit.Discriminator(WIDTH, 3, 2) for x in "ab"}
    beside = save(judges, tmp_path / "dis_00000700.pt")
    run = tmp_path / "run"
    assert main([str(source), str(run), "--image_size=32"]) == 0
    assert capsys.readouterr().out.strip() == (
        f"{run}: step 700; MUNIT, width 4, 2 residual blocks, discriminators of 3 layers at "
        "2 scales"
    )
    translator, x = Translator.load(run), as_torch(picture())
    assert translator.step == 700
    for way, source_net, target_net in (
        ("a2b", nets["a"], nets["b"]),
        ("b2a", nets["b"], nets["a"]),
    ):
        style = translator.encode_style(picture(), way)
        np.testing.assert_allclose(style, target_net.enc_style(x).detach().flatten(), atol=1e-5)
        drawn = np.array([1.0, -2.0, 0.5], np.float32)
        theirs = target_net.decode(source_net.enc_content(x), torch.tensor(drawn)[None])
        ours = translator.details(picture(), way, style=drawn).picture
        np.testing.assert_allclose(ours, levels(theirs), atol=0.51)
        # There, and back in its own style.
        found = translator.details(picture(), way, style=drawn, cycle=True).cycle
        back = source_net.decode(target_net.enc_content(theirs), source_net.enc_style(x))
        np.testing.assert_allclose(found, levels(back), atol=0.51)

    save({"a": judges["a"]}, beside)
    assert "dis_00000700.pt holds no discriminators" in refusal(source, tmp_path, capsys)
    save(judges | {"b": pytorch_munit.Discriminator(WIDTH, 2, 2)}, beside)
    said = refusal(source, tmp_path, capsys)
    assert "dis_00000700.pt does not fit: in b, it has no cnns.0.2.conv.weight" in said


def test_a_file_of_unit_translates_as_pytorch_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nets, run = generators("unit"), tmp_path / "run"
    source = save(nets, tmp_path / "gta2city.pt")
    assert main([str(source), str(run), "--image_size=64"]) == 0
    config = load_config(run / "config.json")
    assert config.method == "unit" and config.model.residual_blocks == BLOCKS
    assert config.model.discriminator_layers == 4  # new ones
    translator, x = Translator.load(run), as_torch(np.tile(picture(), (2, 2, 1)))
    for way in ("a2b", "b2a"):
        theirs = nets[way[-1]].dec(nets[way[0]].enc(x))
        ours = translator(np.tile(picture(), (2, 2, 1)), way)
        np.testing.assert_allclose(ours, levels(theirs), atol=0.51)


def refusal(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as refused:
        main([str(source), str(tmp_path / "other"), "--image_size=32"])
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"enc_content.model.0.conv.weight": None}, "it has no enc_content.model.0.conv.weight"),
        ({"mlp.model.2.fc.bias": None}, "in b, it has no mlp.model.2.fc.bias"),
        ({"mlp.model.2.fc.bias": torch.zeros(3)}, "mlp.model.2.fc.bias has shape (3,), expected ("),
        ({"more": torch.zeros(3)}, "in b, more, of shape (3,), is no part"),
    ],
)
def test_what_does_not_fit_is_named(
    change: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = {x: net.state_dict() for x, net in generators("munit").items()}
    domain = "a" if "model.0" in next(iter(change)) else "b"
    for name, value in change.items():
        if value is None:
            del states[domain][name]
        else:
            states[domain][name] = value
    torch.save(states, tmp_path / "gen_1.pt")
    # One scale of one layer would do at 32 px; the authors' take 64.
    with pytest.raises(SystemExit):
        main([str(tmp_path / "gen_1.pt"), str(tmp_path / "run"), "--image_size=64"])
    assert said in capsys.readouterr().err


def test_names_are_those_of_the_authors_files() -> None:
    """A few of each kind, as the authors' modules are numbered at full size."""
    names = munit.munit_names(4) | munit.unit_names(4) | munit.discriminator_names(4, 3)
    for theirs, ours in {
        "enc_style.model.4.conv.weight": "style_encoder/down_4/kernel",
        "enc_style.model.6.bias": "style_encoder/to_style/bias",
        "enc_content.model.3.model.3.model.1.conv.bias": "content_encoder/block_3/conv_1/bias",
        "dec.model.0.model.2.model.0.conv.weight": "decoder/block_2/conv_0/kernel",
        "dec.model.2.norm.gamma": "decoder/up_norm_0/gamma",
        "dec.model.4.conv.weight": "decoder/up_1/kernel",
        "dec.model.5.conv.weight": "decoder/to_rgb/kernel",
        "mlp.model.2.fc.weight": "mlp/fc_2/kernel",
        "enc.model.2.conv.weight": "encoder/down_2/kernel",
        "cnns.2.3.conv.weight": "scale_2_conv_3/kernel",
        "cnns.1.4.bias": "scale_1_logit/bias",
    }.items():
        assert names[theirs] == ours
