"""What translates as ONNX files: for phones, browsers, and programs that know no JAX."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import export
from ml_collections import ConfigDict
from onnx import helper

import ugatit_jax
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.storage import AnyPath, make_folder, resolve, write_atomically
from ugatit_jax.inference.onnx_graph import OPSET, Graph, onnx_type, write
from ugatit_jax.inference.onnx_rules import RULES
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Method
from ugatit_jax.runs.checkpoints import restore_weights
from ugatit_jax.runs.steps import Step

# And what networks are traced in.
ONNX_DTYPES = {"float32": "float32", "float16": "bfloat16", "int8": "float32"}
SMALLEST = 16  # quarters of a side, in px, of networks that take any size
DESCRIPTION = "onnx.json"


def export_onnx(
    model: AnyPath,
    out: Path,
    step: Step = None,
    dtype: str = "float32",
    directions: Sequence[str] | None = None,
    overwrite: bool = False,
    data: str = "",
) -> dict[str, Any]:
    """Write a2b.onnx and b2a.onnx of a run or an export, and onnx.json, which says what they are.

    dtype: of the weights, and of convolutions, 'float32', 'float16' or 'int8'; statistics are
    float32's. step, directions: as for `export_run`. data: for int8, the data set whose training
    pictures ranges are measured on, as `config.data.source` names it; '': the run's. Returns what
    onnx.json holds. Raises `InputError` if there is no such checkpoint, for a network that ONNX has
    no words for, where `out` has files in it, unless `overwrite` says to write over an earlier
    one's, and as `calibration_pictures` does.
    """
    if dtype not in ONNX_DTYPES:
        raise InputError(f"no --dtype {dtype} in ONNX: choose {', '.join(ONNX_DTYPES)}")
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if there and not (overwrite and DESCRIPTION in there):
        raise InputError(f"{out} is not empty: say another --out, or --overwrite an earlier one")
    config, step, weights = restore_weights(model, step)
    config.dtype = ONNX_DTYPES[dtype]
    method = build_method(config)
    directions = list(directions or weights)
    if missing := [way for way in directions if way not in weights]:
        raise InputError(f"{model} translates {' and '.join(weights)} alone, not {missing[0]}")
    finish = _finisher(dtype, config, model, data, method.style_size)
    programs = {
        f"{way}.onnx": finish(build_onnx(method, way, weights[way]), way).SerializeToString()
        for way in directions
    }
    sides = "multiples of 4, from 64 px" if method.any_size else list(method.image_size)
    description = {
        "run": resolve(model).name,
        "step": step,
        "dtype": dtype,
        "opset": OPSET,
        "pictures": f"uint8 [N, height, width, 3], RGB; height and width: {sides}",
        **(
            {"styles": f"float32 [N, {method.style_size}], of N(0, 1)"} if method.style_size else {}
        ),
        "translations": "uint8, of the same shape",
        "files": {name: {"bytes": len(content)} for name, content in programs.items()},
    }
    make_folder(out)
    for name, content in programs.items():
        write_atomically(out / name, content)
    write_atomically(out / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    return description


def _finisher(
    dtype: str, config: ConfigDict, model: AnyPath, data: str, style_size: int
) -> Callable[[onnx.ModelProto, str], onnx.ModelProto]:
    """Return what is done to the model of a direction, once it is built."""
    if dtype != "int8":
        return lambda program, way: program
    from ugatit_jax.inference.onnx_int8 import calibration_pictures, to_int8  # with onnxruntime

    pictures = calibration_pictures(config, model, data)
    return lambda program, way: to_int8(program, pictures[way[0]], style_size)


def build_onnx(method: Method, direction: str, weights: Any) -> onnx.ModelProto:
    """Return a model of a direction: pictures, uint8 [N, H, W, 3], to the same.

    N is any number. H and W are the training's; with networks that take any size, multiples of 4,
    from 64 px. Of a method with styles they are a second input, float32 [N, style_size]. Computes
    in what the method computes in, with float16 for bfloat16. Raises `InputError` for a network
    that ONNX has no words for.
    """
    arguments = _arguments(method)

    def translate(weights: Any, pictures: jax.Array, styles: jax.Array | None = None) -> jax.Array:
        result, _ = method.translate(weights, images.to_float(pictures), direction, styles)
        return jnp.rint((result + 1) * 127.5).clip(0, 255).astype(jnp.uint8)

    closed = jax.make_jaxpr(translate)(weights, *arguments.values())
    graph = Graph()
    leaves = [np.asarray(x, np.float32) for x in jax.tree.leaves(weights)]
    inputs = [graph.input(name, aval) for name, aval in arguments.items()]
    (found,) = write(graph, RULES, closed, [*leaves, *inputs])
    (result,) = closed.out_avals
    graph.nodes.append(helper.make_node("Identity", [graph.full(found, result)], ["translations"]))
    dims = [x if isinstance(x, int) else str(x).replace("*", "_") for x in result.shape]
    output = helper.make_tensor_value_info("translations", onnx_type(result.dtype), dims)
    nodes, used = _needed(graph.nodes, output.name)
    constants = [x for x in graph.initializers if x.name in used]
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        helper.make_graph(nodes, direction, graph.inputs, [output], constants),
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),  # older runtimes read no newer
        producer_name="ugatit_jax",
        producer_version=ugatit_jax.__version__,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _arguments(method: Method) -> dict[str, jax.ShapeDtypeStruct]:
    scope = export.SymbolicScope([f"h >= {SMALLEST}", f"w >= {SMALLEST}"])
    height, width = ("4*h", "4*w") if method.any_size else method.image_size
    shape = export.symbolic_shape(f"batch, {height}, {width}, 3", scope=scope)
    arguments = {"pictures": jax.ShapeDtypeStruct(shape, jnp.uint8)}
    if method.style_size:
        styles = export.symbolic_shape(f"batch, {method.style_size}", scope=scope)
        arguments["styles"] = jax.ShapeDtypeStruct(styles, jnp.float32)
    return arguments


def _needed(nodes: Sequence[onnx.NodeProto], output: str) -> tuple[list[onnx.NodeProto], set[str]]:
    """Return the nodes that an output depends on, in their order, and all names that they use."""
    used, kept = {output}, []
    for node in reversed(nodes):
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(node)
    return kept[::-1], used
