"""Weights of DRIT's authors: files that PyTorch writes become runs that do the same."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import pytorch_drit_files
import torch
from pytorch_golden import nhwc

from ugatit_jax.config.records import load_config
from ugatit_jax.inference.translator import Translator
from ugatit_jax.interop import drit
from ugatit_jax.interop.import_weights import main, read_weights
from ugatit_jax.methods import build_method

STYLE, SIZE = 3, 48


@pytest.fixture(scope="module")
def nets() -> Any:
    return pytorch_drit_files.networks(
        width=4, blocks=2, style=STYLE, layers=3, scales=2, content_layers=1
    )


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def test_a_file_translates_as_pytorch_does(
    nets: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, run = tmp_path / "00999.pth", tmp_path / "run"
    torch.save(pytorch_drit_files.content_of_file(nets, 1234), source)
    assert main([str(source), str(run), f"--image_size={SIZE}"]) == 0
    assert capsys.readouterr().out.strip() == (
        f"{run}: step 1234; DRIT, width 4, 2 residual blocks, attributes of 3 numbers, "
        "discriminators of 3 layers at 2 scales"
    )
    config = load_config(run / "config.json")
    assert config.method == "drit" and config.model.content_discriminator_layers == 1
    translator = Translator.load(run)
    assert translator.step == 1234
    x = torch.tensor(picture().transpose(2, 0, 1)[None] / 127.5 - 1, dtype=torch.float32)
    for way, there in (("a2b", "AB"), ("b2a", "BA")):
        style = translator.encode_style(picture(), way)
        theirs = nets["enc_a"](x, there[1]).detach().numpy().flatten()
        np.testing.assert_allclose(style, theirs, atol=1e-5)
        drawn = np.array([1.0, -2.0, 0.5], np.float32)
        made = nets["gen"](nets["enc_c"](x, there[0]), torch.tensor(drawn)[None], there[1])
        levels = (nhwc(made.detach().numpy())[0] + 1) * 127.5
        ours = translator.details(picture(), way, style=drawn).picture
        np.testing.assert_allclose(ours, levels, atol=0.51)


def test_discriminators_are_theirs_and_new_ones_where_a_file_has_none(
    nets: Any, tmp_path: Path
) -> None:
    source = tmp_path / "last.pth"
    torch.save(pytorch_drit_files.content_of_file(nets, 7), source)
    found = read_weights(source, SIZE).params
    for name, (domain, kind) in drit.DISCRIMINATORS.items():
        theirs = nets[name].Diss[1][2].model[1].weight.detach().numpy()
        ours = found["discriminators"][domain][kind]["scale_1_conv_2"]["kernel"]
        np.testing.assert_array_equal(ours, theirs.transpose(2, 3, 1, 0))
    contents = torch.randn(1, 16, 12, 12)
    networks = build_method(read_weights(source, SIZE).config).networks
    logits = networks.judge_content(found["content_discriminator"], nhwc(contents.numpy()))
    theirs = nets["disContent"](contents).detach().numpy()[:, 0]
    np.testing.assert_allclose(logits, theirs, rtol=1e-4, atol=1e-5)

    torch.save(pytorch_drit_files.content_of_file(nets, 7, drit.DISCRIMINATORS), source)
    weights = read_weights(source, 216)
    shapes = jax.tree.map(np.shape, weights.params)
    assert weights.config.model.discriminator_layers == 4  # the authors'
    assert shapes["discriminators"]["a"]["random"]["scale_2_conv_3"]["kernel"] == (4, 4, 16, 32)


def refusal(content: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    torch.save(content, tmp_path / "1.pth")
    with pytest.raises(SystemExit) as refused:
        main([str(tmp_path / "1.pth"), str(tmp_path / "run"), f"--image_size={SIZE}"])
    assert refused.value.code == 2 and not (tmp_path / "run").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("network", "name", "value", "said"),
    [
        ("gen", "decA3.0.model.0.bias", None, "in gen, it has no decA3.0.model.0.bias"),
        ("gen", "mlpA.0.weight", torch.zeros(2, 3), "in gen, mlpA.0.weight, of shape (2, 3), is"),
        ("enc_a", "conv_B.1.bias", torch.zeros(5), "in enc_a, conv_B.1.bias has shape (5,), exp"),
        ("enc_c", "convA.0.model.1.weight", None, "it has no convA.0.model.1.weight of a layer"),
        ("disA", "Diss.0.3.weight_u", torch.zeros(1), "in disA, Diss.0.3.weight_u, of shape (1,)"),
    ],
)
def test_what_does_not_fit_is_named(
    nets: Any,
    network: str,
    name: str,
    value: torch.Tensor | None,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = pytorch_drit_files.content_of_file(nets, 7)
    content[network] = dict(content[network]) | {name: value}
    if value is None:
        del content[network][name]
    assert f"1.pth does not fit: {said}" in refusal(content, tmp_path, capsys)
