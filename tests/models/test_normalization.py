"""The decoder's normalisations against PyTorch's layers."""

from typing import Any

import jax
import numpy as np
import pytest
import torch

from ugatit_jax.models import Conventions
from ugatit_jax.models.normalization import DecoderNorm, group_count

CHANNELS = 12  # which "gn" makes two groups of


@pytest.mark.parametrize(
    ("row", "styled", "layer"),
    [
        ("in", False, torch.nn.InstanceNorm2d(CHANNELS, affine=True)),
        ("ln", False, torch.nn.GroupNorm(1, CHANNELS)),
        ("gn", False, torch.nn.GroupNorm(2, CHANNELS)),
        ("adain", False, torch.nn.InstanceNorm2d(CHANNELS, affine=True)),
        ("adain", True, torch.nn.InstanceNorm2d(CHANNELS)),
    ],
)
def test_a_row_of_the_ablation_is_pytorchs_layer(
    row: str, styled: bool, layer: torch.nn.Module
) -> None:
    rng = np.random.default_rng(0)
    # Channels of other means and deviations, so that instances, groups and layers differ.
    x = rng.normal(rng.normal(0, 2, CHANNELS), rng.uniform(0.1, 2, CHANNELS), (2, 5, 6, CHANNELS))
    g = rng.normal(size=x.shape)
    gamma, beta = rng.normal(size=(2, 2, CHANNELS) if styled else (2, CHANNELS))
    norm = DecoderNorm(Conventions(decoder_norm=row))

    def apply(x: Any, gamma: Any, beta: Any) -> Any:
        if styled:
            return norm.apply({}, x, (gamma, beta))
        return norm.apply({"params": {"gamma": gamma, "beta": beta}}, x)

    ours, pull_back = jax.vjp(jax.jit(apply), *map(np.float32, (x, gamma, beta)))

    inputs = [torch.tensor(v, requires_grad=True) for v in (x, gamma, beta)]
    scale, shift = (v[:, :, None, None] if styled else v for v in inputs[1:])
    turned = inputs[0].permute(0, 3, 1, 2)
    if styled:
        theirs = layer(turned) * scale + shift
    else:
        named = {"weight": scale, "bias": shift}
        theirs = torch.func.functional_call(layer.double(), named, (turned,))
    theirs = theirs.permute(0, 2, 3, 1)
    theirs.backward(torch.tensor(g))
    np.testing.assert_allclose(ours, theirs.detach(), atol=1e-4)
    for mine, other in zip(pull_back(np.float32(g)), inputs, strict=True):
        assert other.grad is not None
        np.testing.assert_allclose(mine, other.grad, atol=1e-3)


def test_groups_are_32_or_as_many_as_leave_two_channels_in_each() -> None:
    counts = {256: 32, 128: 32, 64: 32, 96: 16, 48: 8, 24: 4, 16: 8, 8: 4, 4: 2, 6: 1, 3: 1, 1: 1}
    assert {channels: group_count(channels) for channels in counts} == counts
