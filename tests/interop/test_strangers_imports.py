"""Files of weights whose tensors are not what their names promise: one line says no."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugatit_jax.console.errors import InputError
from ugatit_jax.interop.import_weights import read_weights
from ugatit_jax.methods.perceptual import open_network

GOLDEN = Path(__file__).parents[1] / "golden"
TF = "tf_ckpt/UGATIT_light_golden_lsgan_4resblock_6dis_1_1_10_10_1000_sn_smoothing"
NETWORKS = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def save(file: Path, content: Any) -> Path:
    """Write a file by PyTorch itself, with tensors for arrays."""
    import torch  # not above: it takes seconds

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: tensors(x) for name, x in value.items()}
        if isinstance(value, list):
            return [*map(tensors, value)]
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), file)
    return file


def refusal(read: Callable[[Path], Any], file: Path) -> str:
    with pytest.raises(InputError) as error:
        read(file)
    said = str(error.value)
    assert said.isprintable() and len(said) < 900, said
    return said


def six(**of_generators: Any) -> dict[str, Any]:
    """Six networks that begin as they should, but for these tensors of the generators."""
    generator = {"DownBlock.1.weight": zeros(4, 3, 7, 7), "FC.0.weight": zeros(16, 16)}
    judge = {f"model.{i}.weight_orig": zeros(4, 3, 4, 4) for i in (1, 4, 7)}
    generator |= {name.replace("_", "."): x for name, x in of_generators.items()}
    return {name: dict(generator if name.startswith("gen") else judge) for name in NETWORKS}


UGATIT = {
    "nothing": ({}, "there is no genA2B"),
    "a list": ([zeros(1)], "six state_dicts"),
    "a tensor": (zeros(2), "six state_dicts"),
    "numbers for networks": (dict.fromkeys(NETWORKS, 3), "six state_dicts"),
    "no tensors": ({name: {} for name in NETWORKS}, "no DownBlock.1.weight"),
    "names that are numbers": ({name: {0: zeros(1)} for name in NETWORKS}, "six state_dicts"),
    "networks of numbers": ({i: {"x": zeros(1)} for i in range(6)}, "there is no genA2B"),
    "lists of tensors": ({name: {"x": [zeros(1)]} for name in NETWORKS}, "six state_dicts"),
    "kernel without axes": (six(DownBlock_1_weight=zeros()), "DownBlock.1.weight has shape ()"),
    "kernel of one axis": (six(DownBlock_1_weight=zeros(4)), "has shape (4,), and is no kernel"),
    "kernel of five": (six(DownBlock_1_weight=zeros(4, 3, 7, 7, 1)), "and is no kernel"),
    "kernel of nothing": (six(DownBlock_1_weight=zeros(0, 3, 7, 7)), "and is no kernel"),
    "much too wide": (six(DownBlock_1_weight=zeros(5000, 1, 1, 1)), "model.base_width is 5000"),
    "dense of nothing": (six(FC_0_weight=zeros(0, 0)), "FC.0.weight has shape (0, 0)"),
    "dense of one axis": (six(FC_0_weight=zeros(16)), "FC.0.weight has shape (16,)"),
    "no size of a picture": (six(FC_0_weight=zeros(16, 17)), "image_size is (4, 4)"),
    "no blocks": (six(), "model.residual_blocks is 0"),
    "another kernel": (
        six(DownBlock_1_weight=zeros(4, 3, 1, 7), x_conv1_weight=zeros(1)),
        "does not fit: it has no disGA/conv.weight_orig, expected of shape",
    ),
}


@pytest.mark.parametrize("kind", UGATIT)
def test_a_file_of_ugatit(kind: str, tmp_path: Path) -> None:
    content, words = UGATIT[kind]
    assert words in refusal(read_weights, save(tmp_path / "x.pt", content))


CYCLEGAN = {
    "nothing": ({}, "it has no model.1.weight"),
    "a list": ([zeros(1)], "no CycleGAN: a state_dict"),
    "names that are numbers": ({1: zeros(1)}, "no CycleGAN: a state_dict"),
    "kernel of one axis": ({"model.1.weight": zeros(4)}, "has shape (4,)"),
    "kernel of nothing": ({"model.1.weight": zeros(0, 3, 7, 7)}, "has shape (0, 3, 7, 7)"),
    "without the others": ({"model.1.weight": zeros(4, 3, 7, 7)}, "it has no model."),
    "depths without end": (
        {"model.1.weight": zeros(4, 3, 7, 7)}
        | {f"model.{i}.conv_block.1.weight": zeros(1) for i in range(1100)},
        "it has 1,100 layers of one kind",
    ),
}


@pytest.mark.parametrize("kind", CYCLEGAN)
def test_files_of_cyclegan(kind: str, tmp_path: Path) -> None:
    content, words = CYCLEGAN[kind]
    for way in "AB":
        save(tmp_path / f"x_net_G_{way}.pth", content)
    assert words in refusal(read_weights, tmp_path / "x_net_G_A.pth")


MUNIT = {
    "nothing": ({}, "it has no enc.model.0.conv.weight of a layer"),
    "kernel of one axis": ({"enc.model.0.conv.weight": zeros(4)}, "of a layer"),
    "no style": (
        {"enc_content.model.0.conv.weight": zeros(4, 3, 7, 7)},
        "it has no enc_style.model.6.weight",
    ),
    "without the others": ({"enc.model.0.conv.weight": zeros(4, 3, 7, 7)}, "residual_blocks is 0"),
}


@pytest.mark.parametrize("kind", MUNIT)
def test_a_file_of_munit(kind: str, tmp_path: Path) -> None:
    content, words = MUNIT[kind]
    file = save(tmp_path / "gen_00000001.pt", {"a": content, "b": content})
    assert words in refusal(read_weights, file)


def test_a_file_of_vgg(tmp_path: Path) -> None:
    whole = {f"features.{i}.{x}": zeros(1, 1, 1) for i in range(13) for x in ("weight", "bias")}
    for content, words in (
        ([zeros(1)], "it holds no state_dict"),
        ({0: zeros(1)}, "it holds no state_dict"),
        ({}, "it has 0 layers"),
        (whole, "has shape (1, 1, 1)"),
        ({name: 3 for name in whole}, "has shape ()"),
        ({name: {"x": 3} for name in whole}, "has shape ()"),
    ):
        assert words in refusal(lambda x: open_network(str(x)), save(tmp_path / "x.pth", content))
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (tmp_path / "x.pth").unlink()
        make(tmp_path / "x.pth")
        said = refusal(lambda x: open_network(str(x)), tmp_path / "x.pth")
        assert "it is no regular file" in said


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The prefix of a copy of a checkpoint of TensorFlow's."""
    shutil.copytree(GOLDEN / TF, tmp_path / Path(TF).name)
    (index,) = (tmp_path / Path(TF).name).glob("*.index")
    return index.with_suffix("")


def test_a_checkpoint_of_tensorflow_that_is_damaged(checkpoint: Path) -> None:
    index = Path(f"{checkpoint}.index")
    (data,) = checkpoint.parent.glob("*.data-*")
    for file in (index, data):
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 255
        for content in (b"", whole[: len(whole) // 2], bytes(flipped), b"noise" * 99):
            file.write_bytes(content)
            assert refusal(read_weights, checkpoint).startswith(f"cannot read {checkpoint}: ")
        file.write_bytes(whole)
    data.unlink()
    assert refusal(read_weights, checkpoint).startswith(f"cannot read {checkpoint}: ")
    os.mkfifo(data)  # which would be waited for
    assert refusal(read_weights, checkpoint) == f"cannot read {data}: it is no regular file"
