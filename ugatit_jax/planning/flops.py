"""The arithmetic of a program before it is compiled: matrix products and convolutions, exactly."""

import math
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxprs_in_params


def count_flops(jaxpr: Any) -> float:
    """Return the FLOPs of the products in a jaxpr; a multiplication with an addition is two.

    What is multiplied with padding or with holes of a dilation does not count, nor does element-
    wise work, which other units of the chips do. A scan counts as often as it runs, the largest
    branch of a condition, the form for devices that have none of their own, one round of an open
    loop, and a `shard_map` on all its devices.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _of_dot(equation)
        elif name == "conv_general_dilated":
            total += _of_convolution(equation)
        elif name == "cond" and None in (params.get("branches_platforms") or ()):
            plain = params["branches_platforms"].index(None)
            total += count_flops(params["branches"][plain].jaxpr)
        elif name == "cond":
            total += max(count_flops(branch.jaxpr) for branch in params["branches"])
        else:
            inside = sum(count_flops(inner) for inner in jaxprs_in_params(params))
            if name == "scan":
                inside *= params["length"]
            elif name == "shard_map":
                inside *= math.prod(
                    params["mesh"].shape[axis] for axis in params["newly_manual_axes"]
                )
            total += inside
    return total


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


def count_traced(traced: jax.stages.Traced) -> float:
    """Return `count_flops` of a traced function, `jax.jit(f).trace(…)`, over all devices."""
    return count_flops(traced.jaxpr.jaxpr)
