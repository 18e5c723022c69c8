"""VGG16 and VGG19 up to a layer: networks trained on ImageNet, whose features losses compare.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
without their dense layers. Layers are called as in the literature: conv4_3 is the third convolution
after the third pooling, before its ReLU, and relu4_3 after it.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models.convolution import convolve, pad

# Convolutions between poolings.
BLOCKS = {"VGG16": (2, 2, 3, 3, 3), "VGG19": (2, 2, 4, 4, 4)}
# ImageNet's colours in [0, 1], as torchvision's weights expect them.
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])

Params = dict[str, dict[str, Any]]  # {'conv1_1': {'kernel': [3, 3, in, out], 'bias': [out]}, …}


def convolutions(network: str) -> list[str]:
    """Return the names of a network's convolutions, from first to last."""
    return [f"conv{i}_{j}" for i, n in enumerate(BLOCKS[network], 1) for j in range(1, n + 1)]


def has_layer(network: str, layer: str) -> bool:
    """Tell whether a network has a layer, convN_M or reluN_M."""
    return re.sub("^relu", "conv", layer) in convolutions(network)


def up_to(params: Params, layer: str) -> Params:
    """Return what of the parameters a layer's features need."""
    last = layer.replace("relu", "conv")
    return {name: params[name] for name in sorted(params) if name <= last}


def features(params: Params, pictures: Array, layer: str, dtype: DTypeLike = jnp.float32) -> Array:
    """Return a layer's features of pictures.

    Args:
      params: at least `up_to` that layer.
      pictures: [N, H, W, 3] in [-1, 1], of 16 px or more.
      layer: 'convN_M' or 'reluN_M'.
      dtype: of the inputs of convolutions.

    Returns:
      [N, H / 2^(N - 1), W / 2^(N - 1), C], rounded down at each pooling, in float32 at least.
    """
    x = ((pictures + 1) / 2 - MEAN.astype(pictures.dtype)) / DEVIATION.astype(pictures.dtype)
    for name in up_to(params, layer):
        if name.endswith("_1") and name != "conv1_1":
            x = _halve(x)
        kernel, bias = (params[name][part].astype(dtype) for part in ("kernel", "bias"))
        x = convolve(pad(x.astype(dtype), 1, "constant"), kernel, 1) + bias
        if name != layer:
            x = jax.nn.relu(x)
    return x.astype(jnp.promote_types(dtype, jnp.float32))


def _halve(x: Array) -> Array:
    """Take the largest of 2×2 pixels."""
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), padding="VALID"
    )


def params_from_state_dict(state_dict: Mapping[str, np.ndarray]) -> tuple[str, Params]:
    """Return which network a state_dict of torchvision's is, of BLOCKS, and its parameters.

    Raises `ValueError` for what is neither, in words that follow "FILE does not fit: ".
    """
    found = {
        int(match[1]): match[0].removesuffix("weight")
        for name in state_dict
        if (match := re.fullmatch(r"features\.(\d+)\.weight", name))
    }
    names = next((n for n in map(convolutions, BLOCKS) if len(n) == len(found)), None)
    if names is None:
        raise ValueError(f"it has {len(found)} layers features.N, VGG16 has 13 and VGG19 16")
    params: Params = {}
    inputs = 3
    for ours, (_, theirs) in zip(names, sorted(found.items()), strict=True):
        weight, bias = (np.asarray(state_dict.get(theirs + x)) for x in ("weight", "bias"))
        if weight.shape[1:] != (inputs, 3, 3) or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{theirs}weight has shape {weight.shape} and the bias {bias.shape}, expected "
                f"(N, {inputs}, 3, 3) and (N,)"
            )
        params[ours] = {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
        inputs = len(weight)
    return next(name for name in BLOCKS if convolutions(name) == names), params


def params_from_flax(tree: Mapping[str, Any]) -> Params:
    """Return VGG16's parameters from {'Conv_0', 'Conv_1', …}, as Flax numbers layers."""
    return {
        name: {part: np.asarray(tree[f"Conv_{i}"][part]) for part in ("kernel", "bias")}
        for i, name in enumerate(convolutions("VGG16"))
    }
