"""The pooling of class attention against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from ugatit_jax.models.attention import global_maximum


@pytest.mark.parametrize("ties", [False, True])
def test_a_maximum_and_its_gradient_are_those_of_pytorch(ties: bool) -> None:
    x, g = (np.random.default_rng(0).normal(size=s) for s in ((2, 5, 4, 3), (2, 3)))
    if ties:
        x = x.round()
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    pooled = torch.nn.functional.adaptive_max_pool2d(theirs, 1)[..., 0, 0]
    pooled.backward(torch.tensor(g))
    assert theirs.grad is not None
    ours, pull_back = jax.vjp(jax.jit(global_maximum), x.astype(np.float32))
    np.testing.assert_array_equal(ours, pooled.detach().numpy().astype(np.float32))
    (of_x,) = pull_back(jnp.asarray(g, jnp.float32))
    expected = theirs.grad.numpy().transpose(0, 2, 3, 1).astype(np.float32)
    np.testing.assert_array_equal(of_x, expected)
    assert (expected != 0).sum() == g.size
