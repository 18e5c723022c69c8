"""Inception against torch-fidelity's, with random weights in a file that both of them read."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import flax.traverse_util
import jax
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.peers.fidelity import torch_fidelity
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import make_mesh
from ugatit_jax.metrics import features, inception

FeatureExtractorInceptionV3 = (
    torch_fidelity.feature_extractor_inceptionv3.FeatureExtractorInceptionV3
)
interpolate_bilinear_2d_like_tensorflow1x = (
    torch_fidelity.interpolate_compat_tensorflow.interpolate_bilinear_2d_like_tensorflow1x
)

SIZES = [(40, 56), (40, 56), (320, 300), (320, 300)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of random weights, such that features neither vanish nor explode."""
    rng = np.random.default_rng(0)
    inputs = jax.ShapeDtypeStruct((1, 299, 299, 3), np.float32)
    shapes = jax.eval_shape(inception.InceptionV3().init, jax.random.key(0), inputs)["params"]
    arrays = {"fc.weight": np.zeros((1008, 2048)), "fc.bias": np.zeros(1008)}
    for path, kernel in flax.traverse_util.flatten_dict(shapes).items():
        if path[-1] == "kernel":
            name, size = ".".join(path[:-2]), kernel.shape[-1]
            gain = np.sqrt(2 / np.prod(kernel.shape[:-1]))
            arrays[f"{name}.conv.weight"] = gain * rng.standard_normal(kernel.shape[::-1])
            arrays[f"{name}.conv.weight"] = arrays[f"{name}.conv.weight"].swapaxes(2, 3)
            arrays[f"{name}.bn.weight"] = rng.uniform(0.8, 1.3, size)
            arrays[f"{name}.bn.bias"] = 0.1 * rng.standard_normal(size)
            arrays[f"{name}.bn.running_mean"] = 0.1 * rng.standard_normal(size)
            arrays[f"{name}.bn.running_var"] = rng.uniform(0.5, 1.5, size)
    folder = tmp_path_factory.mktemp("weights")
    state_dict = {name: torch.tensor(array, dtype=torch.float32) for name, array in arrays.items()}
    torch.save(state_dict, folder / features.INCEPTION_FILE)
    return folder


@pytest.fixture
def server(weights: Path) -> Iterator[str]:
    """The URL of that file on a server of this machine."""
    handler = partial(QuietHandler, directory=weights)
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://localhost:{server.server_port}/{features.INCEPTION_FILE}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def smooth_noise(seed: int, size: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC))


def to_torch(picture: np.ndarray) -> torch.Tensor:
    return torch.tensor(picture.transpose(2, 0, 1)[None])


@pytest.mark.parametrize("size", [(40, 56), (320, 300), (299, 299), (1, 700)])
def test_resize_is_tensorflows(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = interpolate_bilinear_2d_like_tensorflow1x(
        to_torch(picture).float(), size=(299, 299), align_corners=False
    )
    resized = inception.resize(picture, 299)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected[0].permute(1, 2, 0), rtol=0, atol=1e-4)


def test_weights_are_downloaded_once_and_give_torch_fidelitys_features(
    weights: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256((weights / features.INCEPTION_FILE).read_bytes()).hexdigest()
    monkeypatch.setattr(features, "INCEPTION_SHA256", sha256)
    monkeypatch.setattr(features, "INCEPTION_URL", server)
    monkeypatch.setattr(features, "BATCH", 4)
    monkeypatch.setattr(features, "make_mesh", lambda: make_mesh(jax.devices()[:2]))

    extractor = features.open_extractor("inception", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [features.INCEPTION_FILE]
    assert (extractor.name, extractor.sha256) == ("inception-v3", sha256)
    pictures = [smooth_noise(seed, size) for seed, size in enumerate(SIZES)]
    found = extractor(pictures)

    peer = FeatureExtractorInceptionV3(
        "peer", ["2048"], feature_extractor_weights_path=weights / features.INCEPTION_FILE
    )
    expected = np.concatenate([peer(to_torch(picture))[0].numpy() for picture in pictures])
    assert found.shape == (4, 2048) == (4, extractor.dimension)
    assert expected.std(0).mean() > 0.05 * expected.mean()  # they tell the pictures apart
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())
    errors = np.linalg.norm(found - expected, axis=1)
    assert (errors <= 1e-4 * np.linalg.norm(expected, axis=1)).all()

    monkeypatch.setattr(features, "INCEPTION_URL", "http://localhost:9/")
    for again in ("inception", "auto", str(tmp_path / features.INCEPTION_FILE)):
        assert features.open_extractor(again, str(tmp_path)).name == "inception-v3"


def test_a_download_of_something_else_is_refused_and_leaves_nothing(
    server: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (weights / "other.pth").write_bytes(b"something else")
    monkeypatch.setattr(
        features, "INCEPTION_URL", server.replace(features.INCEPTION_FILE, "other.pth")
    )
    with pytest.raises(InputError, match="hash") as caught:
        features.open_extractor("inception", str(tmp_path / "cache"))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())
