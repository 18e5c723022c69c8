"""A run's generators as a slim folder that translates, with this program or with JAX alone."""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import export
from ml_collections import ConfigDict

import ugatit_jax
from ugatit_jax.config.records import save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.storage import AnyPath, resolve
from ugatit_jax.methods import build_method
from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.methods.method import Method, weight_shapes
from ugatit_jax.runs.checkpoints import has_average, restore_weights
from ugatit_jax.runs.exported_weights import pack_weights
from ugatit_jax.runs.exports import (
    CONFIG,
    DESCRIPTION,
    FORMAT,
    PROGRAM,
    is_exported,
    program_file,
    weights_file,
)
from ugatit_jax.runs.steps import Step

PLATFORMS = ("cpu", "cuda", "tpu")
FILES = {
    *(CONFIG, DESCRIPTION, PROGRAM),
    *map(weights_file, DIRECTIONS),
    *map(program_file, DIRECTIONS),
}


def export_run(
    run_dir: AnyPath,
    out: Path,
    step: Step = None,
    dtype: str = "float32",
    directions: Sequence[str] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write what translates, of a checkpoint, into a folder of its own.

    The weights are the moving average where the checkpoint has one. step: None is the newest,
    'best' that of the lowest KID while training. dtype: of the weights in the files, 'float32' or
    'bfloat16'. directions: None: all that there are. out: a new or empty folder, or with
    `overwrite` an earlier export; it changes only when all is written. Returns what export.json
    holds. Raises `InputError` if there is no such checkpoint, and if `out` will not do or cannot be
    written.
    """
    out = out.resolve()
    if is_exported(run_dir):
        raise InputError(f"{run_dir} is exported already: give the run that it was made of")
    _check_out(out, overwrite)
    config, step, weights = restore_weights(run_dir, step)
    config.data.source = config.data.cache_dir = ""  # folders of the machine that trained
    directions = list(directions or weights)
    if missing := [way for way in directions if way not in weights]:
        raise InputError(f"{run_dir} translates {' and '.join(weights)} alone, not {missing[0]}")
    programs = build_programs(config, directions, dtype)
    description: dict[str, Any] = {
        "format": FORMAT,
        "run": resolve(run_dir).name,
        "step": step,
        "weights": "moving average" if has_average(run_dir, step) else "last",
        "dtype": dtype,
        "directions": directions,
        "image_size": list(config.data.image_size),
        "parameters": sum(x.size for x in jax.tree.leaves(weights[directions[0]])),
        "versions": {
            "ugatit_jax": ugatit_jax.__version__,
            **{package: importlib.metadata.version(package) for package in ("jax", "safetensors")},
        },
        "how_to_load": _how_to_load(directions[0], next(iter(programs))),
    }

    def contents() -> Iterator[tuple[str, bytes]]:  # one file in memory at a time
        for direction in directions:
            yield weights_file(direction), pack_weights(weights[direction], dtype)
        yield from programs.items()

    try:
        _write_folder(out, description, config, contents)
    except OSError as error:
        raise InputError(
            f"cannot write {out}: {error.strerror}; nothing was changed, say another --out or "
            "make room"
        ) from None
    return description


def build_programs(config: ConfigDict, directions: Sequence[str], dtype: str) -> dict[str, bytes]:
    """Lower the directions for CPU, CUDA and TPU, {file: what `jax.export.deserialize` reads}.

    Directions whose networks differ in their weights alone share one program. It is called with the
    weights as the safetensors file of `dtype` names them, and pictures, uint8 [N, H, W, 3] of the
    config's size and any number; and, for a method with styles, these, float32 [N, style_size]. It
    returns uint8 of the same shape. Where `config.dtype` is 'auto', it computes in float32 on every
    device.
    """
    if config.dtype == "auto":
        config = config.copy_and_resolve_references()
        config.dtype = "float32"
    method = build_method(config)
    limit = jax.config.values["jax_traceback_in_locations_limit"]
    jax.config.update("jax_traceback_in_locations_limit", 0)  # no paths of this machine
    try:
        programs = {way: _lower(method, way, dtype) for way in directions}
    finally:
        jax.config.update("jax_traceback_in_locations_limit", limit)
    serialized = {way: bytes(program.serialize()) for way, program in programs.items()}
    if len({program.mlir_module() for program in programs.values()}) == 1:
        return {PROGRAM: serialized[directions[0]]}
    return {program_file(way): program for way, program in serialized.items()}


def _lower(method: Method, direction: str, dtype: str) -> export.Exported:
    # The weights stay outside: inside, each direction's file would hold them a second time, and
    # the full network's took 27 s to write and 9 GB to compile.
    def translate(
        weights: dict[str, jax.Array], pictures: jax.Array, styles: jax.Array | None = None
    ) -> jax.Array:
        tree = unflatten_dict(jax.tree.map(lambda x: x.astype(jnp.float32), weights), sep="/")
        result, _ = method.translate(tree, images.to_float(pictures), direction, styles)
        return jnp.rint((result + 1) * 127.5).clip(0, 255).astype(jnp.uint8)

    weights = {
        name: jax.ShapeDtypeStruct(x.shape, jnp.dtype(dtype))
        for name, x in flatten_dict(weight_shapes(method, direction), sep="/").items()
    }
    height, width = method.image_size
    scope = export.SymbolicScope()
    shape = export.symbolic_shape(f"batch, {height}, {width}, 3", scope=scope)
    arguments = [jax.ShapeDtypeStruct(shape, jnp.uint8)]
    if method.style_size:
        of_styles = export.symbolic_shape(f"batch, {method.style_size}", scope=scope)
        arguments.append(jax.ShapeDtypeStruct(of_styles, jnp.float32))
    return export.export(jax.jit(translate), platforms=PLATFORMS)(weights, *arguments)


def _how_to_load(direction: str, program: str) -> dict[str, Any]:
    return {
        "ugatit_jax": [
            "from ugatit_jax import Translator",
            "translator = Translator.load('THIS FOLDER')",
            f"translated = translator(pictures, direction='{direction}')",
        ],
        "jax": [
            "import pathlib, jax.export, safetensors.numpy",
            f"program = jax.export.deserialize(pathlib.Path('{program}').read_bytes())",
            f"weights = safetensors.numpy.load_file('{weights_file(direction)}')",
            "translated = jax.jit(program.call)(weights, pictures)",
        ],
        "pictures": "uint8 [N, height, width, 3], RGB; for jax of image_size, any N; "
        "the result is of the same kind",
    }


def _check_out(out: Path, overwrite: bool) -> None:
    """Raise `InputError` for a folder that an export must not replace."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise InputError(f"--out {out} is a file: say a folder")
    if not is_exported(out):
        raise InputError(f"--out {out} is not empty and no export: say another folder")
    if not overwrite:
        raise InputError(f"--out {out} holds an export: say another folder, or --overwrite")
    if more := sorted({path.name for path in out.iterdir()} - FILES):
        raise InputError(f"--out {out} holds {more[0]} beside an export: say another folder")


def _write_folder(
    out: Path,
    description: dict[str, Any],
    config: ConfigDict,
    contents: Callable[[], Iterator[tuple[str, bytes]]],
) -> None:
    """Write all files into a folder beside `out`, and then put it in the place of `out`."""
    unfinished, before = (out.with_name(f".{out.name}.{x}") for x in ("unfinished", "before"))
    shutil.rmtree(unfinished, ignore_errors=True)  # of an export that was killed
    try:
        unfinished.mkdir(parents=True)
        save_config(config, unfinished / CONFIG)
        files = {CONFIG: _about((unfinished / CONFIG).read_bytes())}
        for name, data in contents():
            (unfinished / name).write_bytes(data)
            files[name] = _about(data)
        description["files"] = files
        (unfinished / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        try:
            if is_exported(out):
                shutil.rmtree(before, ignore_errors=True)  # older than what is there now, and whole
                out.rename(before)
            unfinished.rename(out)
        except BaseException as error:
            # Who was killed between the two left an export in `before`, too.
            if before.exists() and (isinstance(error, OSError) or not out.exists()):
                _put_back(before, out)
            raise
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _put_back(before: Path, out: Path) -> None:
    try:
        before.rename(out)
    except OSError as error:
        raise InputError(
            f"cannot write {out}: {error.strerror}; the export that was there is in {before}: "
            "move it back"
        ) from error


def _about(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
