"""How each primitive of JAX that the networks use is said in ONNX."""

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.onnx_graph import Graph, Operand, Rule, Value, onnx_type

_ALIKE = {  # element by element, one to one
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min",
    "pow": "Pow", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "neg": "Neg",
    "abs": "Abs", "sign": "Sign", "floor": "Floor", "logistic": "Sigmoid", "erf": "Erf",
    "lt": "Less", "gt": "Greater", "le": "LessOrEqual", "ge": "GreaterOrEqual", "eq": "Equal",
    "and": "And", "or": "Or", "not": "Not", "add_any": "Add",
}  # fmt: skip
_REDUCTIONS = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}
_LAST = np.iinfo(np.int64).max
_FIRST = np.iinfo(np.int64).min


def _compact(operands: Sequence[Operand]) -> bool:
    """Say whether what is computed of these, element by element, is compact."""
    return all(
        x.compact if isinstance(x, Value) else np.ndim(x) == 0 or x.size == 1 for x in operands
    )


def _by_element(op: str) -> Rule:
    def rule(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
        found = graph.node(op, [graph.name(x) for x in operands])
        return Value(found, _compact(operands))

    return rule


def _full(graph: Graph, equation: Any, operands: list[Operand]) -> list[str]:
    atoms = equation.invars
    return [graph.full(x, atom.aval) for x, atom in zip(operands, atoms, strict=True)]


def _identity(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    return operands[0]


def _square(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    x = graph.name(operands[0])
    return Value(graph.node("Mul", [x, x]), _compact(operands))


def _integer_pow(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    power = graph.constant(np.asarray(equation.params["y"], equation.invars[0].aval.dtype))
    return Value(graph.node("Pow", [graph.name(operands[0]), power]), _compact(operands))


def _rsqrt(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    root = graph.node("Sqrt", [graph.name(operands[0])])
    return Value(graph.node("Reciprocal", [root]), _compact(operands))


def _round(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    if int(equation.params["rounding_method"]) != 1:  # ONNX rounds halves to even numbers
        raise InputError("ONNX export: no form for rounding away from zero")
    return Value(graph.node("Round", [graph.name(operands[0])]), _compact(operands))


def _clamp(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    low, x, high = (graph.name(operand) for operand in operands)
    return Value(graph.node("Min", [graph.node("Max", [x, low]), high]), _compact(operands))


def _ne(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    equal = graph.node("Equal", [graph.name(x) for x in operands])
    return Value(graph.node("Not", [equal]), _compact(operands))


def _select(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    if isinstance(operands[0], np.ndarray) and operands[0].ndim == 0:
        return operands[1 + int(operands[0])]
    which, if_false, if_true = (graph.name(x) for x in operands)
    return Value(graph.node("Where", [which, if_true, if_false]), _compact(operands))


def _cast(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    to = onnx_type(equation.params["new_dtype"])
    return Value(graph.node("Cast", [graph.name(operands[0])], to=to), _compact(operands))


def _broadcast(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    """Put axes where they belong, and leave it to arithmetic to make them longer."""
    x, aval = operands[0], equation.invars[0].aval
    shape = [1] * len(equation.outvars[0].aval.shape)
    for axis, to in enumerate(equation.params["broadcast_dimensions"]):
        shape[to] = aval.shape[axis]
    found = graph.node("Reshape", [graph.full(x, aval), graph.shape(shape)])
    return Value(found, tuple(shape) != tuple(equation.outvars[0].aval.shape))


def _reshape(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    (x, *_) = _full(graph, equation, operands)
    return Value(graph.node("Reshape", [x, graph.shape(equation.outvars[0].aval.shape)]))


def _transpose(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    x = graph.name(operands[0])
    permutation = list(equation.params["permutation"])
    return Value(graph.node("Transpose", [x], perm=permutation), _compact(operands))


def _concatenate(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    parts = _full(graph, equation, operands)
    return Value(graph.node("Concat", parts, axis=equation.params["dimension"]))


def _stack(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    axis = equation.params["axis"]
    axes = graph.constant(np.array([axis]))
    parts = [graph.node("Unsqueeze", [x, axes]) for x in _full(graph, equation, operands)]
    return Value(graph.node("Concat", parts, axis=axis))


def _split(graph: Graph, equation: Any, operands: list[Operand]) -> list[Operand]:
    (x,), axis = _full(graph, equation, operands), equation.params["axis"]
    ends = np.cumsum(equation.params["sizes"])
    starts = ends - np.array(equation.params["sizes"])
    axes = graph.constant(np.array([axis]))
    return [
        Value(graph.node("Slice", [x, *(graph.constant(np.array([i])) for i in limits), axes]))
        for limits in zip(starts, ends, strict=True)
    ]


def _slice(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    (x,), params = _full(graph, equation, operands), equation.params
    starts, ends = params["start_indices"], params["limit_indices"]
    steps = params["strides"] or [1] * len(starts)
    shapes = [graph.shape(starts), graph.shape(ends)]
    axes = graph.constant(np.arange(len(starts)))
    return Value(graph.node("Slice", [x, *shapes, axes, graph.constant(np.array(steps))]))


def _gather(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    """Take one place along one axis, as x[..., 0] does."""
    how, index = equation.params["dimension_numbers"], operands[1]
    axis = how.collapsed_slice_dims
    one = isinstance(index, np.ndarray) and index.size == 1 and len(axis) == 1
    if not one or how.start_index_map != axis or how.operand_batching_dims:
        raise InputError("ONNX export: no form for gathering from many places")
    x = graph.full(operands[0], equation.invars[0].aval)
    place = graph.constant(np.asarray(index, np.int64).reshape(()))
    return Value(graph.node("Gather", [x, place], axis=axis[0]))


def _dynamic_slice(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    x, *starts = operands
    if not all(isinstance(start, np.ndarray) for start in starts):
        raise InputError("ONNX export: a slice at a place that depends on the pictures")
    begin = [int(np.asarray(start)) for start in starts]
    sizes = equation.params["slice_sizes"]
    ends = [first + size for first, size in zip(begin, sizes, strict=True)]
    shapes = [graph.shape(begin), graph.shape(ends), graph.constant(np.arange(len(begin)))]
    return Value(graph.node("Slice", [graph.full(x, equation.invars[0].aval), *shapes]))


def _rev(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    (x,), axes = _full(graph, equation, operands), equation.params["dimensions"]
    ends = [np.full(len(axes), value) for value in (_LAST, _FIRST)]
    steps = np.full(len(axes), -1)
    shapes = [graph.constant(np.asarray(value)) for value in (*ends, np.array(axes), steps)]
    return Value(graph.node("Slice", [x, *shapes]))


def _pad(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    x, value = _full(graph, equation, operands)
    low, high, inside = zip(*equation.params["padding_config"], strict=True)
    if any(inside):
        raise InputError("ONNX export: no form for padding between pixels")
    return Value(graph.node("Pad", [x, graph.shape([*low, *high]), value]))


def _reduce(op: str) -> Rule:
    def rule(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
        (x,) = _full(graph, equation, operands)
        axes = graph.constant(np.array(equation.params["axes"], np.int64))
        return Value(graph.node(op, [x, axes], keepdims=0))

    return rule


def _convolve(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    params, (x, kernel) = equation.params, _full(graph, equation, operands)
    lhs, rhs, out = params["dimension_numbers"]
    transposed = set(params["lhs_dilation"]) != {1}
    if transposed:
        forward = set(params["window_strides"]) == set(params["rhs_dilation"]) == {1}
        if not forward or params["feature_group_count"] != 1:
            raise InputError("ONNX export: no form for a strided transposed convolution")
    x = graph.node("Transpose", [x], perm=list(lhs))
    if not isinstance(operands[1], np.ndarray):
        raise InputError("ONNX export: a convolution whose kernel depends on the pictures")
    weights = operands[1].transpose(rhs)  # [O, I, h, w]
    if transposed:  # ONNX turns the kernel over, and counts padding from the other side
        weights = weights.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    kernel = graph.constant(np.ascontiguousarray(weights))
    attributes = _transposed(params, weights.shape[2:]) if transposed else _forward(params)
    found = graph.node("ConvTranspose" if transposed else "Conv", [x, kernel], **attributes)
    return Value(graph.node("Transpose", [found], perm=list(np.argsort(out))))


def _forward(params: dict[str, Any]) -> dict[str, Any]:
    low, high = zip(*params["padding"], strict=True)
    return {
        "strides": list(params["window_strides"]),
        "pads": [*low, *high],
        "dilations": list(params["rhs_dilation"]),
        "group": params["feature_group_count"],
    }


def _transposed(params: dict[str, Any], sides: Sequence[int]) -> dict[str, Any]:
    low, high = zip(*params["padding"], strict=True)
    before, after = (
        [side - 1 - amount for side, amount in zip(sides, amounts, strict=True)]
        for amounts in (low, high)
    )
    return {
        "strides": list(params["lhs_dilation"]),
        "pads": [*before, *(max(0, x) for x in after)],
        "output_padding": [max(0, -x) for x in after],
    }


def _dot(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    x, y = _full(graph, equation, operands)
    ((of_x, of_y), (batch_x, batch_y)) = equation.params["dimension_numbers"]
    x_rank, y_rank = (len(atom.aval.shape) for atom in equation.invars)
    if (tuple(of_x), tuple(of_y)) == ((x_rank - 1,), (0,)) and not batch_x and y_rank == 2:
        return Value(graph.node("MatMul", [x, y]))
    letters = iter(string.ascii_lowercase)
    x_names = [next(letters) for _ in range(x_rank)]
    y_names = [next(letters) for _ in range(y_rank)]
    for i, j in zip((*batch_x, *of_x), (*batch_y, *of_y), strict=True):
        y_names[j] = x_names[i]
    result = [x_names[i] for i in batch_x]
    result += [name for i, name in enumerate(x_names) if i not in (*batch_x, *of_x)]
    result += [name for j, name in enumerate(y_names) if j not in (*batch_y, *of_y)]
    said = f"{''.join(x_names)},{''.join(y_names)}->{''.join(result)}"
    return Value(graph.node("Einsum", [x, y], equation=said))


def _dimension(graph: Graph, equation: Any, operands: list[Operand]) -> Operand:
    size = graph.size(equation.params["dim"])
    scalar = graph.node("Reshape", [size, graph.constant(np.array([], np.int64))])
    to = onnx_type(equation.outvars[0].aval.dtype)
    return Value(graph.node("Cast", [scalar], to=to))


RULES: dict[str, Rule] = {
    **{name: _by_element(op) for name, op in _ALIKE.items()},
    **{name: _reduce(op) for name, op in _REDUCTIONS.items()},
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolve,
    "convert_element_type": _cast,
    "copy": _identity,
    "dim_as_value": _dimension,
    "dot_general": _dot,
    "dynamic_slice": _dynamic_slice,
    "expand_dims": _reshape,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "name": _identity,
    "ne": _ne,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _rev,
    "round": _round,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "square": _square,
    "squeeze": _reshape,
    "stack": _stack,
    "stop_gradient": _identity,
    "transpose": _transpose,
}
