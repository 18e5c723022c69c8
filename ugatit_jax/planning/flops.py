"""The arithmetic of a program before it is compiled: matrix products and convolutions, exactly."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import jaxprs_in_params
from jax.interpreters import partial_eval


class Product(NamedTuple):
    """A matrix product or a convolution of a program."""

    scope: str  # where in the program: "transpose(jvp(Generator))/down_0"
    times: int  # that it runs, on all devices
    flops: float  # of one of them; a multiplication with an addition is two
    bytes: int  # of its operands and its result


def find_products(jaxpr: Any) -> Iterator[Product]:
    """Yield the products of a jaxpr whose results it needs: the others a compiler drops.

    What is multiplied with padding or with holes of a dilation does not count, nor does element-
    wise work, which other units of the chips do. A scan counts as often as it runs, the largest
    branch of a condition, the form for devices that have none of their own, one round of an open
    loop, and a `shard_map` on all its devices.
    """
    # A custom derivative writes down gradients of all its arguments, whoever asks for them.
    needed, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), instantiate=True)
    return _find_products(needed, "", 1)


def _find_products(jaxpr: Any, scope: str, times: int) -> Iterator[Product]:
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        inside = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
        if name in COUNTS:
            arrays = (each.aval for each in (*equation.invars, *equation.outvars))
            moved = sum(array.size * array.dtype.itemsize for array in arrays)
            yield Product(inside, times, COUNTS[name](equation), moved)
        elif name == "cond" and None in (params.get("branches_platforms") or ()):
            plain = params["branches_platforms"].index(None)
            yield from _find_products(params["branches"][plain].jaxpr, inside, times)
        elif name == "cond":
            branches = (_find_products(each.jaxpr, inside, times) for each in params["branches"])
            yield from max(map(list, branches), key=_sum_flops)
        else:
            again = times
            if name == "scan":
                again *= params["length"]
            elif name == "shard_map":
                again *= math.prod(
                    params["mesh"].shape[axis] for axis in params["newly_manual_axes"]
                )
            for inner in jaxprs_in_params(params):
                yield from _find_products(inner, inside, again)


def count_flops(jaxpr: Any) -> float:
    """Return the FLOPs of the products in a jaxpr, exactly."""
    return _sum_flops(find_products(jaxpr))


def _sum_flops(products: Iterable[Product]) -> float:
    return sum(each.times * each.flops for each in products)


def _of_dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * equation.outvars[0].aval.size * math.prod(left[i] for i in contracted)


def _of_convolution(equation: Any) -> float:
    params = equation.params
    numbers = params["dimension_numbers"]
    left, right = (variable.aval.shape for variable in equation.invars)
    out = equation.outvars[0].aval.shape
    batch, features, *sides = (out[i] for i in numbers.out_spec)
    inputs = right[numbers.rhs_spec[1]]  # of one group
    pairs = math.prod(
        _count_pairs(
            left[numbers.lhs_spec[2 + i]],
            right[numbers.rhs_spec[2 + i]],
            side,
            params["window_strides"][i],
            params["padding"][i][0],
            params["lhs_dilation"][i],
            params["rhs_dilation"][i],
        )
        for i, side in enumerate(sides)
    )
    return 2.0 * batch * features * inputs * pairs


def _count_pairs(
    left: int, right: int, out: int, stride: int, padding: int, left_dilation: int, dilation: int
) -> int:
    """Count the (output, kernel) positions along one side that meet an input, not a zero."""
    positions = np.arange(out)[:, None] * stride + np.arange(right) * dilation - padding
    inside = (positions >= 0) & (positions <= (left - 1) * left_dilation)
    return int((inside & (positions % left_dilation == 0)).sum())


COUNTS: dict[str, Callable[[Any], float]] = {
    "dot_general": _of_dot,
    "conv_general_dilated": _of_convolution,
}


def count_traced(traced: jax.stages.Traced) -> float:
    """Return `count_flops` of a traced function, `jax.jit(f).trace(…)`, over all devices."""
    return count_flops(traced.jaxpr.jaxpr)
