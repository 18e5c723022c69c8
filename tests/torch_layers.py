"""Networks of PyTorch's layers as parameters of ours: by order, with the names that ours have."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import torch
from flax.traverse_util import unflatten_dict
from torch import nn

Value = Callable[[torch.Tensor], torch.Tensor | None]


def randomize(net: nn.Module, seed: int = 0, spread: float = 0.2) -> Any:
    """Draw all parameters, gammas and biases too."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, spread, generator=random)
    return net


def to_ours(
    net: nn.Module, names: Sequence[str], value: Value = lambda parameter: parameter
) -> dict[str, Any]:
    """Return a network's parameters, or another value of each, as ours.

    names: of our layers, 'block_0/conv_0', in the order of its layers that have parameters.
    """
    layers = [
        layer for layer in net.modules() if isinstance(getattr(layer, "bias", None), nn.Parameter)
    ]
    flat: dict[str, np.ndarray] = {}
    for name, layer in zip(names, layers, strict=True):
        found = [value(getattr(layer, x)) for x in ("weight", "bias")]
        weight, bias = (np.zeros(()) if x is None else x.detach().numpy().copy() for x in found)
        if isinstance(layer, nn.InstanceNorm2d):
            flat |= {f"{name}/gamma": weight, f"{name}/beta": bias}
            continue
        if isinstance(layer, nn.ConvTranspose2d):  # [in, out, h, w], and ours correlates
            kernel = weight.transpose(2, 3, 0, 1)[::-1, ::-1]
        else:
            kernel = weight.transpose(2, 3, 1, 0)
        flat |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    return unflatten_dict(flat, sep="/")


def gradients(net: nn.Module, names: Sequence[str]) -> dict[str, Any]:
    """Return what `backward` left at a network's parameters, as ours."""
    return to_ours(net, names, lambda parameter: parameter.grad)


def compare(ours: Any, theirs: Any) -> None:
    """Assert that two trees of gradients agree, but for what is 0 beside the largest."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    largest = max(np.abs(x).max() for x in jax.tree.leaves(theirs))
    assert largest > 0
    for (path, mine), other in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
    ):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-9 * largest, err_msg=name)
