"""CycleGAN's discriminator against the same network of PyTorch's layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_cyclegan
import torch
from pytorch_golden import nhwc

from ugatit_jax.interop import cyclegan
from ugatit_jax.models.patch_discriminator import PatchDiscriminator, minimum_size


@pytest.mark.parametrize(("depth", "size"), [(3, (32, 40)), (2, (19, 16)), (4, (48, 48))])
def test_logits_and_gradients_are_pytorchs(depth: int, size: tuple[int, int]) -> None:
    theirs = pytorch_cyclegan.discriminator(width=4, layers=depth).double()
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (2, 3, *size))
    x_torch = torch.tensor(x, requires_grad=True)
    out_torch = theirs(x_torch)
    weight = random.uniform(-1, 1, out_torch.shape)
    (out_torch * torch.tensor(weight)).sum().backward()
    state_dict = {name: value.numpy() for name, value in theirs.state_dict().items()}

    with jax.enable_x64(True):
        net = PatchDiscriminator(4, depth, dtype=jnp.float64)
        params = cyclegan.import_discriminator(state_dict)

        def pull_back(params: Any, x: jax.Array, weight: jax.Array) -> Any:
            out, back = jax.vjp(lambda p, x: net.apply({"params": p}, x), params, x)
            return out, *back(weight)

        out, of_params, of_x = jax.jit(pull_back)(params, nhwc(x), weight[:, 0])
    np.testing.assert_allclose(out, out_torch.detach()[:, 0], atol=1e-10)
    np.testing.assert_allclose(of_x, nhwc(x_torch.grad.numpy()), atol=1e-9)
    gradients = cyclegan.export_discriminator(jax.device_get(of_params))
    assert gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad, atol=1e-9, err_msg=name)


def test_float32_stays_within_a_hundred_thousandth_of_float64() -> None:
    theirs = pytorch_cyclegan.discriminator(width=4, layers=3)
    state_dict = {name: value.numpy() for name, value in theirs.state_dict().items()}
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    params = cyclegan.import_discriminator(state_dict)
    out = jax.jit(PatchDiscriminator(4).apply)({"params": params}, nhwc(x))
    expected = theirs.double()(torch.tensor(x).double()).detach().numpy()
    np.testing.assert_allclose(out, expected[:, 0], atol=1e-5)


def test_full_size_has_the_parameters_of_the_original() -> None:
    picture = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
    net = PatchDiscriminator(dtype=jnp.bfloat16)
    out, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), picture)
    assert sum(x.size for x in jax.tree.leaves(variables)) == 2_764_737
    assert (out.shape, out.dtype) == ((2, 30, 30), jnp.float32)


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_minimum_size_is_the_smallest_that_works(depth: int) -> None:
    net = PatchDiscriminator(base_width=2, layers=depth)

    def logits(side: int) -> tuple[int, ...]:
        picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        return jax.eval_shape(net.init_with_output, jax.random.key(0), picture)[0].shape

    assert logits(minimum_size(depth)) == (1, 1, 1)
    with pytest.raises((AssertionError, ValueError, TypeError, ZeroDivisionError)):
        assert min(logits(minimum_size(depth) - 1)) >= 1
