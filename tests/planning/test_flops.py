"""Products are counted as written down by hand, with padding, holes, loops and devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from ugatit_jax.devices.sharding import make_mesh
from ugatit_jax.planning.flops import count_traced


def flops(function, *shapes: tuple[int, ...]) -> float:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return count_traced(jax.jit(function).trace(*arguments))


def test_matrix_products() -> None:
    assert flops(jnp.matmul, (2, 3), (3, 5)) == 2 * 2 * 3 * 5
    assert flops(lambda x, y: jnp.einsum("bij,bkj->bik", x, y), (7, 2, 3), (7, 4, 3)) == (
        2 * 7 * 2 * 4 * 3
    )
    assert flops(lambda x: jnp.tanh(x) + 1, (9,)) == 0


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"window_strides": (2,), "padding": [(1, 2)]},
        {"window_strides": (1,), "padding": [(3, 3)], "lhs_dilation": (2,)},
        {"window_strides": (3,), "padding": "VALID", "rhs_dilation": (2,)},
        {"window_strides": (1,), "padding": [(-1, 0)]},
    ],
)
def test_convolutions_count_what_is_not_multiplied_with_zeros_of_the_padding(
    options, groups: int
) -> None:
    def convolve(x, kernel):
        numbers = ("NWC", "WIO", "NWC")
        return lax.conv_general_dilated(
            x, kernel, **options, dimension_numbers=numbers, feature_group_count=groups
        )

    # With ones for inputs and kernel, every output is the number of its multiplications.
    ones = np.ones((2, 11, 4), np.float32), np.ones((4, 4 // groups, 6), np.float32)
    multiplications = float(convolve(*ones).sum())
    assert flops(convolve, *(one.shape for one in ones)) == 2 * multiplications


def test_both_gradients_of_a_convolution_cost_what_it_costs() -> None:
    def convolve(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=numbers)

    shapes = (2, 10, 8, 3), (4, 4, 3, 5)
    forward = flops(convolve, *shapes)
    assert forward == 2 * (2 * 4 * 3 * 5) * (4 * 4 * 3)
    both = flops(jax.grad(lambda x, k: jnp.square(convolve(x, k)).sum(), (0, 1)), *shapes)
    assert both == 3 * forward


def test_loops_branches_rematerialisation_and_devices() -> None:
    once = 2 * 4**3

    def scanned(x):
        return lax.scan(lambda y, _: (y @ y, None), x, length=5)[0]

    assert flops(scanned, (4, 4)) == 5 * once
    assert flops(lambda x: lax.cond(x.sum() > 0, lambda y: y @ y @ y, lambda y: y, x), (4, 4)) == (
        2 * once
    )
    again = jax.checkpoint(lambda x: jnp.sin(x @ x))
    assert flops(jax.value_and_grad(lambda x: again(x).sum()), (4, 4)) == 4 * once  # without: 3
    assert flops(jax.value_and_grad(lambda x: jnp.sin(x @ x).sum()), (4, 4)) == 3 * once


def test_what_nothing_needs_does_not_count() -> None:
    def square_and_forget(x):
        forgotten = x @ x @ x
        return x @ x, forgotten.sum()

    assert flops(lambda x: square_and_forget(x)[0], (4, 4)) == 2 * 4**3


def test_devices_count_each() -> None:
    split = jax.shard_map(
        lambda x: x @ x.T, mesh=make_mesh(), in_specs=P("data"), out_specs=P("data")
    )
    assert flops(split, (16, 4)) == 8 * 2 * 2 * 4 * 2
