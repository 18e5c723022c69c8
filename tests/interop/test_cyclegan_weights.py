"""Weights of CycleGAN's authors: names, layouts and files."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_cyclegan
import torch
from pytorch_golden import nhwc
from torch import nn

from ugatit_jax.data.torch_file import read_torch_file, write_torch_file
from ugatit_jax.interop import cyclegan
from ugatit_jax.models.patch_discriminator import PatchDiscriminator
from ugatit_jax.models.resnet import ResnetGenerator


def save(tensors: Any, path: Path, era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a file as PyTorch of that era did."""
    with monkeypatch.context() as patch:
        if era == "0.3":
            patch.setattr(torch.Tensor, "__reduce_ex__", rebuilt_in_the_old_way)
        torch.save(tensors, path, _use_new_zipfile_serialization=era == "today")


def rebuilt_in_the_old_way(tensor: torch.Tensor, protocol: int) -> tuple[Any, ...]:
    storage = torch.storage.TypedStorage(
        wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True
    )
    where = (tensor.storage_offset(), tensor.size(), tensor.stride())
    return torch._utils._rebuild_tensor, (storage, *where)


@pytest.mark.parametrize("era", ["today", "1.5", "0.3"])
def test_a_file_of_a_generator_translates_as_pytorch_does(
    era: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = pytorch_cyclegan.generator(width=4, blocks=3)
    tensors = theirs.state_dict()
    assert tensors._metadata
    if era == "0.3":
        tensors = pytorch_cyclegan.with_statistics(theirs)
    path = tmp_path / "latest_net_G_A.pth"
    save(tensors, path, era, monkeypatch)
    assert torch.load(path).keys() == tensors.keys()
    marks = {"_rebuild_tensor_v2": era != "0.3", "Size": era == "0.3", "_metadata": True}
    assert {mark: mark.encode() in path.read_bytes() for mark in marks} == marks

    state_dict = read_torch_file(path)
    fields = cyclegan.generator_fields(state_dict)
    assert fields == {"base_width": 4, "residual_blocks": 3}
    params = cyclegan.import_generator(state_dict)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    out = jax.jit(ResnetGenerator(**fields).apply)({"params": params}, nhwc(x))
    np.testing.assert_allclose(out, nhwc(theirs(torch.tensor(x)).detach().numpy()), atol=1e-5)


@pytest.mark.parametrize("era", ["today", "1.5"])
def test_a_file_of_a_discriminator_judges_as_pytorch_does(
    era: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = pytorch_cyclegan.discriminator(width=4, layers=3)
    path = tmp_path / "latest_net_D_A.pth"
    save(theirs.state_dict(), path, era, monkeypatch)
    state_dict = read_torch_file(path)
    fields = cyclegan.discriminator_fields(state_dict)
    assert fields == {"base_width": 4, "layers": 3}
    params = cyclegan.import_discriminator(state_dict)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    out = jax.jit(PatchDiscriminator(**fields).apply)({"params": params}, nhwc(x))
    np.testing.assert_allclose(out, theirs(torch.tensor(x)).detach()[:, 0], atol=1e-5)


def test_names_are_those_of_the_authors_files() -> None:
    """What `latest_net_G.pth` and `latest_net_D_A.pth` hold at the paper's size, in order."""
    convolutions = [1, 4, 7, *range(10, 19), 19, 22, 26]
    layers = [
        f"model.{i}{inner}"
        for i in convolutions
        for inner in ((".conv_block.1", ".conv_block.5") if 10 <= i < 19 else ("",))
    ]
    expected = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert list(cyclegan.generator_names(9)) == expected
    expected = [f"model.{i}.{kind}" for i in (0, 2, 5, 8, 11) for kind in ("weight", "bias")]
    assert list(cyclegan.discriminator_names(3)) == expected


def test_their_first_discriminator_judges_domain_b() -> None:
    # G_A makes B of A, and D_A tells what it makes from B.
    assert cyclegan.GENERATORS["a2b"] == "G_A" and cyclegan.DISCRIMINATORS["b"] == "D_A"
    assert cyclegan.GENERATORS["b2a"] == "G_B" and cyclegan.DISCRIMINATORS["a"] == "D_B"


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_our_weights_in_their_files_and_back_are_the_same_bits(
    network: str, tmp_path: Path
) -> None:
    path = tmp_path / "latest_net.pth"
    net: nn.Module
    if network == "generator":
        ours, there, back = (
            ResnetGenerator(4, 2),
            cyclegan.export_generator,
            cyclegan.import_generator,
        )
        net = pytorch_cyclegan.generator(4, 2)
    else:
        ours, there, back = (
            PatchDiscriminator(4, 2),
            cyclegan.export_discriminator,
            cyclegan.import_discriminator,
        )
        net = pytorch_cyclegan.discriminator(4, 2)
    params = jax.jit(ours.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    write_torch_file(path, there(jax.device_get(params)))
    net.load_state_dict(torch.load(path))  # raises for another name or shape
    torch.save(net.state_dict(), path)
    jax.tree.map(np.testing.assert_array_equal, back(read_torch_file(path)), params)


State = OrderedDict[str, torch.Tensor]


def misfit(what: str) -> tuple[State, str]:
    """Return a state_dict that is no generator's, and what is to be said of it."""
    tensors = pytorch_cyclegan.generator(4, 1).state_dict()
    if what == "another shape":
        tensors["model.4.bias"] = torch.zeros(9)
        return tensors, "model.4.bias has shape (9,), expected (8,)"
    if what == "missing":
        del tensors["model.10.conv_block.5.weight"]
        return tensors, "it has no model.10.conv_block.5.weight"
    if what == "too many":
        tensors["model.19.bias"] = torch.zeros(1)
        return tensors, "model.19.bias, of shape (1,), is no part"
    if what == "batch norm":  # and biases, as old files have
        batch = pytorch_cyclegan.generator(4, 1, nn.BatchNorm2d).state_dict()
        return batch, "model.2.weight, of shape (4,), is no part"
    if what == "grey":
        grey = pytorch_cyclegan.generator(4, 1, colours=1).state_dict()
        return grey, "model.1.weight has shape (4, 1, 7, 7), expected (4, 3, 7, 7)"
    if what == "a vector first":
        tensors["model.1.weight"] = torch.zeros(4)
        return tensors, "model.1.weight has shape (4,), expected a convolution's"
    # The other network, and other authors' six of them.
    if what == "discriminator":
        return pytorch_cyclegan.discriminator(4, 3).state_dict(), "it has no model.1.weight"
    return OrderedDict(genA2B=tensors), "it has no model.1.weight"


MISFITS = ["another shape", "missing", "too many", "batch norm", "grey", "a vector first"]


@pytest.mark.parametrize("what", [*MISFITS, "discriminator", "U-GAT-IT"])
def test_the_first_tensor_that_does_not_fit_is_named(what: str, tmp_path: Path) -> None:
    tensors, message = misfit(what)
    path = tmp_path / "bad.pth"
    torch.save(tensors, path)
    with pytest.raises(ValueError) as error:
        cyclegan.import_generator(read_torch_file(path))
    assert str(error.value) == message


def test_a_generator_is_no_discriminator() -> None:
    tensors = pytorch_cyclegan.generator(4, 1).state_dict()
    with pytest.raises(ValueError, match=r"^it has no model\.0\.weight$"):
        cyclegan.import_discriminator({name: value.numpy() for name, value in tensors.items()})
    batch = pytorch_cyclegan.discriminator(4, 3, nn.BatchNorm2d).state_dict()
    with pytest.raises(ValueError, match=r"^it has no model\.\d+\.(weight|bias)$"):
        cyclegan.import_discriminator({name: value.numpy() for name, value in batch.items()})
