"""DRIT's networks against the same ones of PyTorch's layers."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_drit as reference
import torch
from flax import linen as nn
from pytorch_golden import nhwc

from ugatit_jax.models import multiscale_discriminator
from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.disentanglement import (
    SLOPE,
    AttributeEncoder,
    ContentDiscriminator,
    ContentEncoder,
    Decoder,
    convolution,
    minimum_size,
)
from ugatit_jax.models.layers import ResidualBlock
from ugatit_jax.models.multiscale_discriminator import MultiscaleDiscriminator

WIDTH, STYLE, SCALES = reference.WIDTH, reference.STYLE, reference.SCALES
BLOCKS, LAYERS, CONTENT_LAYERS = 2, 2, 1


@functools.cache
def torch_networks() -> Any:
    return reference.build(BLOCKS, LAYERS, CONTENT_LAYERS)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape)


# A network of PyTorch, ours, and the shapes of what goes in, in PyTorch's order.
CASES = {
    "content encoder": (
        lambda nets: nets["content_encoders"]["a"],
        ContentEncoder(WIDTH, BLOCKS, dtype=jnp.float64),
        [(2, 3, 20, 28)],
    ),
    "shared": (
        lambda nets: nets["generators"]["shared"],
        ResidualBlock(convolution(nn.initializers.zeros, jnp.float64), Conventions()),
        [(2, 4 * WIDTH, 5, 7)],
    ),
    "attribute encoder": (
        lambda nets: nets["attribute_encoders"]["b"],
        AttributeEncoder(WIDTH, STYLE, dtype=jnp.float64),
        [(2, 3, 44, 20)],
    ),
    "decoder": (
        lambda nets: nets["generators"]["b"],
        Decoder(WIDTH, BLOCKS, dtype=jnp.float64),
        [(2, 4 * WIDTH, 5, 7), (2, STYLE)],
    ),
    "discriminator": (
        lambda nets: nets["discriminators"]["a"]["random"],
        MultiscaleDiscriminator(WIDTH, LAYERS, SCALES, SLOPE, dtype=jnp.float64),
        [(2, 3, 20, 28)],
    ),
    "content discriminator": (
        lambda nets: nets["content_discriminator"],
        ContentDiscriminator(CONTENT_LAYERS, dtype=jnp.float64),
        [(2, 4 * WIDTH, 13, 17)],
    ),
}


def last(x: np.ndarray) -> np.ndarray:
    return nhwc(x) if x.ndim == 4 else x


@pytest.mark.parametrize("case", CASES)
def test_results_and_gradients_are_pytorchs(case: str) -> None:
    find, ours, shapes = CASES[case]
    theirs = find(torch_networks())
    inputs = [random(*shape) for shape in shapes]
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    out = theirs(*tensors)
    outs = [out] if isinstance(out, torch.Tensor) else list(out)
    weights = [random(*x.shape) for x in outs]
    total = sum((x * torch.tensor(w)).sum() for x, w in zip(outs, weights, strict=True))
    gradients = torch.autograd.grad(total, [*theirs.parameters(), *tensors])
    names = [name for name, _ in theirs.named_parameters()]

    def run(params: Any, *inputs: jax.Array) -> Any:
        def apply(params: Any, inputs: Any) -> Any:
            results = jax.tree.leaves(ours.apply({"params": params}, *inputs))
            shaped = [
                x[..., None] if x.ndim == 3 else x  # logits have one channel
                for x in results
            ]
            total = sum((x * last(w)).sum() for x, w in zip(shaped, weights, strict=True))
            return total, shaped

        return jax.grad(apply, (0, 1), has_aux=True)(params, inputs)

    with jax.enable_x64(True):
        params = reference.ours(theirs.named_parameters())
        (of_params, of_inputs), results = jax.jit(run)(params, *map(last, inputs))
    for result, expected in zip(results, outs, strict=True):
        np.testing.assert_allclose(result, last(expected.detach().numpy()), rtol=1e-6, atol=1e-9)
    expected = reference.ours(zip(names, gradients[: len(names)], strict=True))
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-9)
    jax.tree.map(compare, of_params, expected)
    for ours_, expected in zip(of_inputs, gradients[len(names) :], strict=True):
        compare(ours_, last(expected.numpy()))


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_minimum_size_is_the_smallest_that_works(layers: int) -> None:
    net = ContentDiscriminator(layers)

    def logits(side: int) -> tuple[int, ...]:
        content = jax.ShapeDtypeStruct((1, side // 4, side // 4, 8), jnp.float32)
        return jax.eval_shape(net.init_with_output, jax.random.key(0), content)[0].shape

    assert logits(minimum_size(layers)) == (1, 1, 1)
    with pytest.raises((AssertionError, ValueError, TypeError, ZeroDivisionError)):
        assert min(logits(minimum_size(layers) - 4)) >= 1
    assert minimum_size(3) == 212  # the authors'
    assert multiscale_discriminator.minimum_size(4, 3) == 64
