"""Generators of CartoonGAN's authors: files that PyTorch writes become runs that do the same."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_cartoongan
import torch
from pytorch_golden import nhwc
from torch import nn

from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.translator import Translator
from ugatit_jax.interop.import_weights import main, read_weights

WIDTH, SIZE = 4, 32
# In the order of the network.
LAYERS = ["conv01_1", "in01_1"]
LAYERS += [name.format(i) for i in (2, 3) for name in ("conv0{}_1", "conv0{}_2", "in0{}_1")]
LAYERS += [f"{kind}{i:02}_{j}" for i in range(4, 12) for j in (1, 2) for kind in ("conv", "in")]
LAYERS += ["deconv01_1", "deconv01_2", "in12_1", "deconv02_1", "deconv02_2", "in13_1", "deconv03_1"]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A generator of blue, green and red."""
    return pytorch_cartoongan.generator(WIDTH, 8)


def content(network: nn.Module) -> dict[str, Any]:
    """Its tensors under the names of the files."""
    found = [
        x for x in network.modules() if isinstance(x, nn.modules.conv._ConvNd | nn.InstanceNorm2d)
    ]
    tensors = {}
    for name, layer in zip(LAYERS, found, strict=True):
        weight, bias = ("scale", "shift") if name.startswith("in") else ("weight", "bias")
        tensors |= {f"{name}.{weight}": layer.weight.data, f"{name}.{bias}": layer.bias.data}
    return tensors


def test_a_file_translates_as_pytorch_does(
    network: nn.Module,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec  # who only translates may have no network of contents
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *x: None if "lpips" in name else find(name, *x)
    )
    source, run = tmp_path / "Hayao_net_G_float.pth", tmp_path / "run"
    torch.save(content(network), source)
    assert main([str(source), str(run), f"--image-size={SIZE}"]) == 0
    said = capsys.readouterr().out.strip()
    assert said == f"{run}: step 0; CartoonGAN, width 4, with a new discriminator"
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    blue_first = torch.tensor(picture[..., ::-1].transpose(2, 0, 1)[None] / 127.5 - 1)
    made = nhwc(network(blue_first.float()).detach().numpy())[0, ..., ::-1]
    ours = Translator.load(run)(picture)
    np.testing.assert_allclose(ours, (made + 1) * 127.5, atol=0.51)


def test_what_does_not_fit_is_refused(network: nn.Module, tmp_path: Path) -> None:
    source = tmp_path / "Hayao_net_G_float.pth"
    for change, words in (
        ({"in04_2.scale": torch.zeros(3)}, r"in04_2.scale has shape \(3,\), expected \(16,\)"),
        ({"conv12_1.bias": torch.zeros(3)}, "conv12_1.bias, of shape .* is no part"),
        ({"conv01_1.weight": torch.zeros(3)}, "it has no conv01_1.weight of a layer"),
    ):
        torch.save(content(network) | change, source)
        with pytest.raises(InputError, match=rf"{source} does not fit: {words}"):
            read_weights(source)
