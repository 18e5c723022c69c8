"""CycleGAN's generator against the same network of PyTorch's layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_cyclegan
import torch
from pytorch_golden import nhwc

from ugatit_jax.interop import cyclegan
from ugatit_jax.models import convolution
from ugatit_jax.models.resnet import ResnetGenerator


@pytest.mark.parametrize("size", [(16, 24), (8, 8)])  # the second is the smallest
def test_picture_and_gradients_are_pytorchs(size: tuple[int, int]) -> None:
    theirs = pytorch_cyclegan.generator(width=4, blocks=2).double()
    random = np.random.default_rng(0)
    x, weight = (random.uniform(-1, 1, (2, 3, *size)) for _ in range(2))
    x_torch = torch.tensor(x, requires_grad=True)
    out_torch = theirs(x_torch)
    (out_torch * torch.tensor(weight)).sum().backward()
    state_dict = {name: value.numpy() for name, value in theirs.state_dict().items()}

    with jax.enable_x64(True):
        net = ResnetGenerator(4, 2, dtype=jnp.float64)
        params = cyclegan.import_generator(state_dict)

        def pull_back(params: Any, x: jax.Array, weight: jax.Array) -> Any:
            out, back = jax.vjp(lambda p, x: net.apply({"params": p}, x), params, x)
            return out, *back(weight)

        out, of_params, of_x = jax.jit(pull_back)(params, nhwc(x), nhwc(weight))
    np.testing.assert_allclose(out, nhwc(out_torch.detach().numpy()), atol=1e-10)
    np.testing.assert_allclose(of_x, nhwc(x_torch.grad.numpy()), atol=1e-9)
    gradients = cyclegan.export_generator(jax.device_get(of_params))
    assert gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad, atol=1e-9, err_msg=name)


def test_float32_stays_within_a_hundred_thousandth_of_float64() -> None:
    theirs = pytorch_cyclegan.generator(width=4, blocks=2)
    state_dict = {name: value.numpy() for name, value in theirs.state_dict().items()}
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 24)).astype(np.float32)
    params = cyclegan.import_generator(state_dict)
    out = jax.jit(ResnetGenerator(4, 2).apply)({"params": params}, nhwc(x))
    expected = theirs.double()(torch.tensor(x).double()).detach().numpy()
    np.testing.assert_allclose(out, nhwc(expected), atol=1e-5)


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_full_size_has_the_parameters_of_the_original(blocks: int, parameters: int) -> None:
    picture = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    net = ResnetGenerator(residual_blocks=blocks)
    out, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), picture)
    assert sum(x.size for x in jax.tree.leaves(variables)) == parameters
    assert (out.shape, out.dtype) == (picture.shape, jnp.float32)


def test_bfloat16_stays_near_float32_and_returns_float32() -> None:
    x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3), minval=-1)
    net = ResnetGenerator(8, 1)
    expected, variables = jax.jit(net.init_with_output)(jax.random.key(0), x)
    out = jax.jit(net.clone(dtype=jnp.bfloat16).apply)(variables, x)
    assert out.dtype == jnp.float32
    difference = np.abs(out - expected)
    assert 0 < difference.mean() < 0.01


@pytest.mark.parametrize("size", [(3, 5), (1, 1)])
def test_doubling_convolution_is_pytorchs_transposed_one(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 4, *size)), random.normal(size=(4, 6, 3, 3))
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(x), torch.tensor(kernel), stride=2, padding=1, output_padding=1
    )
    turned = kernel[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    with jax.enable_x64(True):
        for form in (
            convolution.convolve_doubling,  # by parts, on this device
            convolution.convolve_doubling_by_parts,
            convolution.convolve_doubling_dilated,  # what other devices do
        ):
            ours = form(jnp.asarray(nhwc(x)), jnp.asarray(turned))
            np.testing.assert_allclose(ours, nhwc(expected.numpy()), atol=1e-12)
