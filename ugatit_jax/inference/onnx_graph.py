"""A traced JAX function as a graph of ONNX, written equation by equation.

Shapes may hold names, as `jax.export.symbolic_shape` makes them: the graph then computes sizes from
those of its inputs, and takes any.
"""

import ast
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import onnx
from jax.extend import core
from onnx import TensorProto, helper, numpy_helper

from ugatit_jax.console.errors import InputError

OPSET = 20
_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.FLOAT16,  # what runtimes have
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


class Value(NamedTuple):
    """A tensor of the graph.

    compact: its axes of size 1 may stand for longer ones, as ONNX's arithmetic broadcasts them.
    """

    name: str
    compact: bool = False


Known = np.ndarray  # what does not depend on the inputs, and is computed here
Operand = Value | Known


def onnx_type(dtype: Any) -> int:
    """Return ONNX's number for a type. Raises `InputError` if there is none."""
    name = np.dtype(dtype).name
    if name not in _TYPES:
        raise InputError(f"ONNX export: no type for {name}")
    return _TYPES[name]


class Graph:
    """A graph that grows by nodes and constants."""

    def __init__(self) -> None:
        """Empty."""
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self._sizes: dict[str, str] = {}  # of named dimensions: int64 [1]
        self._numbers = itertools.count()
        self._constants: dict[tuple[Any, ...], str] = {}

    def node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output; returns that."""
        name = f"{op.lower()}_{next(self._numbers)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add a constant once; returns its name."""
        array = np.asarray(value)
        if array.dtype.name == "bfloat16":
            array = array.astype(np.float16)
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{next(self._numbers)}"
            self.initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def input(self, name: str, aval: jax.ShapeDtypeStruct) -> Value:
        """Add an input; its named dimensions are known from then on."""
        dims = [x if isinstance(x, int) else str(x).replace("*", "_") for x in aval.shape]
        self.inputs.append(helper.make_tensor_value_info(name, onnx_type(aval.dtype), dims))
        shape = None
        for axis, size in enumerate(aval.shape):
            if isinstance(size, int):
                continue
            shape = shape or self.node("Shape", [name])
            factor, _, symbol = str(size).rpartition("*")
            if symbol not in self._sizes:
                found = self.node("Gather", [shape, self.constant(np.array([axis]))], axis=0)
                if factor:
                    found = self.node("Div", [found, self.constant(np.array([int(factor)]))])
                self._sizes[symbol] = found
        return Value(name)

    def size(self, dimension: Any) -> str:
        """Return a dimension, a number or an expression of names, as int64 [1]."""
        if isinstance(dimension, int | np.integer):
            return self.constant(np.array([dimension]))
        return self._expression(ast.parse(str(dimension).replace("^", "**"), mode="eval").body)

    def _expression(self, tree: ast.expr) -> str:
        match tree:
            case ast.Constant(value=int(number)):
                return self.constant(np.array([number]))
            case ast.Name(id=name) if name in self._sizes:
                return self._sizes[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.node("Neg", [self._expression(operand)])
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
                sides = [self._expression(left), self._expression(right)]
                return self.node(_ARITHMETIC[type(op)], sides)
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in _FUNCTIONS:
                return self.node(_FUNCTIONS[name], [self._expression(x) for x in arguments])
        raise InputError(f"ONNX export: no form for the size {ast.unparse(tree)}")

    def shape(self, dimensions: Sequence[Any]) -> str:
        """Return a shape as int64 [rank]."""
        if all(isinstance(x, int | np.integer) for x in dimensions):
            return self.constant(np.array(dimensions, np.int64))
        return self.node("Concat", [self.size(x) for x in dimensions], axis=0)

    def name(self, operand: Operand) -> str:
        """Return an operand's name; a compact one may be smaller than its shape says."""
        return operand.name if isinstance(operand, Value) else self.constant(operand)

    def full(self, operand: Operand, aval: Any) -> str:
        """Return an operand's name, of the shape that it is said to have."""
        if isinstance(operand, Value) and operand.compact:
            return self.node("Expand", [operand.name, self.shape(aval.shape)])
        return self.name(operand)


_ARITHMETIC = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.FloorDiv: "Div", ast.Pow: "Pow"}
_FUNCTIONS = {"mod": "Mod", "floordiv": "Div", "max": "Max", "min": "Min"}
Rule = Callable[[Graph, Any, list[Operand]], Operand | list[Operand]]
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def write(
    graph: Graph, rules: dict[str, Rule], closed: Any, operands: Sequence[Operand]
) -> list[Operand]:
    """Add the equations of a closed jaxpr; returns its results.

    What depends on no input is computed at once. Raises `InputError` for a primitive without rule.
    """
    jaxpr = closed.jaxpr
    known: dict[Any, Operand] = dict(zip(jaxpr.invars, operands, strict=True))
    known |= {v: np.asarray(x) for v, x in zip(jaxpr.constvars, closed.consts, strict=True)}

    def read(atom: Any) -> Operand:
        return np.asarray(atom.val) if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        found = _results(graph, rules, equation, [read(x) for x in equation.invars])
        known |= dict(zip(equation.outvars, found, strict=True))
    return [read(x) for x in jaxpr.outvars]


def _results(
    graph: Graph, rules: dict[str, Rule], equation: Any, operands: list[Operand]
) -> list[Operand]:
    name, params = equation.primitive.name, equation.params
    if name == "platform_index":  # which form of a function: the one that is for any device
        return [np.asarray(params["platforms"].index(None), np.int32)]
    if name == "cond":
        index, *rest = operands
        if not isinstance(index, np.ndarray):
            raise InputError("ONNX export: a branch that depends on the pictures")
        return write(graph, rules, params["branches"][int(index)], rest)
    if name == "scan":
        return _unroll(graph, rules, params, operands)
    called = next((params[x] for x in _CALLS if x in params), None)
    if called is not None:
        closed = called if isinstance(called, core.ClosedJaxpr) else core.ClosedJaxpr(called, ())
        return write(graph, rules, closed, operands)
    sizes = [x for v in equation.outvars for x in v.aval.shape]
    is_known = all(isinstance(x, np.ndarray) for x in operands) and name != "dim_as_value"
    if is_known and all(isinstance(x, int) for x in sizes):
        found = equation.primitive.bind(*operands, **params)
        return [np.asarray(x) for x in (found if equation.primitive.multiple_results else [found])]
    if name not in rules:
        raise InputError(f"ONNX export: no form for {name}")
    result = rules[name](graph, equation, operands)
    return result if isinstance(result, list) else [result]


def _unroll(
    graph: Graph, rules: dict[str, Rule], params: dict[str, Any], operands: list[Operand]
) -> list[Operand]:
    """Write each round of a loop: residual blocks of one kind, or the places of a window."""
    consts, carries = params["num_consts"], params["num_carry"]
    carry, xs = operands[consts : consts + carries], operands[consts + carries :]
    if not all(isinstance(x, np.ndarray) for x in xs):
        raise InputError("ONNX export: a loop over what depends on the pictures")
    if len(params["jaxpr"].jaxpr.outvars) > carries:
        raise InputError("ONNX export: a loop that collects results")
    rounds = range(params["length"])
    for i in reversed(rounds) if params["reverse"] else rounds:
        items = [np.asarray(x)[i] for x in xs]
        carry = write(graph, rules, params["jaxpr"], [*operands[:consts], *carry, *items])
    return carry
