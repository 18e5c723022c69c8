"""A run's generators as a slim folder that translates, with this program or with JAX alone."""

import hashlib
import importlib.metadata
import itertools
import json
import os
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
from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data import images
from ugatit_jax.data.storage import AnyPath, resolve
from ugatit_jax.inference.card import write_card
from ugatit_jax.methods import build_method
from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.methods.method import Method, weight_shapes
from ugatit_jax.runs.checkpoints import has_average, restore_weights
from ugatit_jax.runs.exported_weights import pack_weights
from ugatit_jax.runs.exports import (
    CONFIG,
    DESCRIPTION,
    FORMAT,
    PROGRAMS,
    is_exported,
    program_file,
    weights_file,
)
from ugatit_jax.runs.steps import Step

CARD, GRID = "README.md", "samples.png"
PLATFORMS = ("cpu", "cuda", "tpu")
FILES = {
    *(CONFIG, DESCRIPTION),
    *(CARD, GRID),
    *map(weights_file, DIRECTIONS),
    *(shared for shared, _ in PROGRAMS.values()),
    *itertools.starmap(program_file, itertools.product(DIRECTIONS, PROGRAMS)),
}


def export_run(
    run_dir: AnyPath,
    out: Path,
    step: Step = None,
    dtype: str = "float32",
    directions: Sequence[str] | None = None,
    overwrite: bool = False,
    card: bool = False,
    licence: str = "",
) -> dict[str, Any]:
    """Write what translates, of a checkpoint, into a folder of its own.

    The weights are the moving average where the checkpoint has one. step: None is the newest,
    'best' that of the lowest KID while training. dtype: of the weights in the files, 'float32' or
    'bfloat16'. directions: None: all that there are. out: a new or empty folder, or with
    `overwrite` an earlier export; it changes only when all is written. card, licence: write a model
    card, too, as `write_card` makes it. Returns what export.json holds. Raises `InputError` if
    there is no such checkpoint, and if `out` will not do or cannot be written.
    """
    out = Path(os.path.realpath(out))
    if is_exported(run_dir):
        raise InputError(f"{run_dir} is exported already: give the run that it was made of")
    _check_out(out, overwrite)
    config, step, weights = restore_weights(run_dir, step)
    config.data.source = config.data.cache_dir = ""  # folders of the machine that trained
    directions = list(directions or weights)
    if missing := [way for way in directions if way not in weights]:
        raise InputError(f"{run_dir} translates {' and '.join(weights)} alone, not {missing[0]}")
    programs = build_programs(config, directions, dtype)
    style_size = build_method(config).style_size
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
        "how_to_load": _how_to_load(directions[0], next(iter(programs)), style_size),
    }
    if style_size:
        description["style_size"] = style_size

    def contents() -> Iterator[tuple[str, bytes]]:  # one file in memory at a time
        for direction in directions:
            yield weights_file(direction), pack_weights(weights[direction], dtype)
        yield from programs.items()
        if card:
            text, grid = write_card(run_dir, step, licence)
            yield CARD, text.encode()
            if grid:
                yield GRID, grid

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
    returns uint8 of the same shape. For a method that encodes styles there is a program for that,
    too: of weights and pictures of the target domain, it returns their styles. Where `config.dtype`
    is 'auto', programs compute in float32 on every device.
    """
    if config.dtype == "auto":
        config = config.copy_and_resolve_references()
        config.dtype = "float32"
    method = build_method(config)
    limit = jax.config.values["jax_traceback_in_locations_limit"]
    jax.config.update("jax_traceback_in_locations_limit", 0)  # no paths of this machine
    try:
        lowered = {"translate": {way: _lower(method, way, dtype) for way in directions}}
        if method.encodes_styles:
            lowered["encode_style"] = {
                way: _lower_encoder(method, way, dtype) for way in directions
            }
    finally:
        jax.config.update("jax_traceback_in_locations_limit", limit)
    files = {}
    for kind, programs in lowered.items():
        if len({program.mlir_module() for program in programs.values()}) == 1:
            files[PROGRAMS[kind][0]] = programs[directions[0]]
        else:
            files |= {program_file(way, kind): program for way, program in programs.items()}
    return {name: bytes(program.serialize()) for name, program in files.items()}


def _lower(method: Method, direction: str, dtype: str) -> export.Exported:
    # The weights stay outside: inside, each direction's file would hold them a second time, and
    # the full network's took 27 s to write and 9 GB to compile.
    def translate(
        weights: dict[str, jax.Array], pictures: jax.Array, styles: jax.Array | None = None
    ) -> jax.Array:
        tree = _as_tree(weights)
        result, _ = method.translate(tree, images.to_float(pictures), direction, styles)
        return jnp.rint((result + 1) * 127.5).clip(0, 255).astype(jnp.uint8)

    weights, pictures, styles = _arguments(method, direction, dtype)
    arguments = (weights, pictures, styles) if method.style_size else (weights, pictures)
    return export.export(jax.jit(translate), platforms=PLATFORMS)(*arguments)


def _lower_encoder(method: Method, direction: str, dtype: str) -> export.Exported:
    def encode_style(weights: dict[str, jax.Array], pictures: jax.Array) -> jax.Array:
        return method.encode_style(_as_tree(weights), images.to_float(pictures), direction)

    weights, pictures, _ = _arguments(method, direction, dtype)
    return export.export(jax.jit(encode_style), platforms=PLATFORMS)(weights, pictures)


def _as_tree(weights: dict[str, jax.Array]) -> Any:
    return unflatten_dict(jax.tree.map(lambda x: x.astype(jnp.float32), weights), sep="/")


def _arguments(method: Method, direction: str, dtype: str) -> tuple[Any, ...]:
    """The shapes of a program's arguments: weights, pictures, and styles."""
    weights = {
        name: jax.ShapeDtypeStruct(x.shape, jnp.dtype(dtype))
        for name, x in flatten_dict(weight_shapes(method, direction), sep="/").items()
    }
    scope = export.SymbolicScope()
    height, width = method.image_size
    pictures = export.symbolic_shape(f"batch, {height}, {width}, 3", scope=scope)
    styles = export.symbolic_shape(f"batch, {method.style_size}", scope=scope)
    return (
        weights,
        jax.ShapeDtypeStruct(pictures, jnp.uint8),
        jax.ShapeDtypeStruct(styles, jnp.float32),
    )


def _how_to_load(direction: str, program: str, style_size: int) -> dict[str, Any]:
    styles, how = "", {}
    if style_size:
        styles = ", styles"
        how = {"styles": f"float32 [N, {style_size}], of N(0, 1), one for each picture"}
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
            f"translated = jax.jit(program.call)(weights, pictures{styles})",
        ],
        "pictures": "uint8 [N, height, width, 3], RGB; for jax of image_size, any N; "
        "the result is of the same kind",
    } | how


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
        raise InputError(
            f"--out {out} holds {printable(more[0])} beside an export: say another folder"
        )


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
