"""The checks of a config before anything is compiled."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from ml_collections import ConfigDict

from ugatit_jax.config.records import flatten
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.methods import METHODS, build_method, find_fields, find_method, rules
from ugatit_jax.methods.method import Method
from ugatit_jax.methods.optimizer import LEARNING_RATE_SCALING
from ugatit_jax.methods.rules import Rule
from ugatit_jax.models import DTYPES, REMAT

T = TypeVar("T")

LARGEST = 2**31 - 1  # whole number: steps are counted in 32 bits
LARGEST_NETWORK = 1024  # width, and number of layers
LARGEST_BATCH = 2**16
LARGEST_SIDE = 2**14  # px, of what pictures are scaled to before they are cropped

_RULES = (
    rules.one_of("method", METHODS),
    rules.at_least_one(
        "train.steps",
        "train.batch_size",
        "train.accumulate",
        "nonfinite_limit",
        "log_every",
        "samples.count",
        "checkpoint.every",
        "checkpoint.keep",
    ),
    rules.not_negative(
        "data.cache_gib",
        "mesh.model",
        "train.learning_rate",
        "train.weight_decay",
        "samples.every",
        "eval.every",
        "checkpoint.keep_every",
    ),
    Rule(
        ("train.beta1", "train.beta2", "train.ema_decay", "eval.held_out"),
        lambda v: 0 <= v < 1,
        "in [0, 1)",
    ),
    Rule(("data.load_scale",), lambda v: v >= 1 and math.isfinite(v), "1 or more"),
    rules.one_of("dtype", ("auto", *DTYPES)),
    rules.one_of("on_nonfinite", ("stop", "skip", "rollback")),
    rules.one_of("train.remat", REMAT),
    rules.one_of("train.learning_rate_scaling", LEARNING_RATE_SCALING),
    Rule(("eval.pictures",), lambda v: v >= 2, "2 or more"),
    Rule(("seed",), lambda v: 0 <= v < 2**31, "0 to 2147483647"),
)


def check_config(config: ConfigDict, device_count: int, slices: int = 1) -> Method:
    """Return the (mapped) method of a config, if it can be trained on so many devices.

    slices: of equal numbers of devices, where these are TPUs. Raises `InputError` for the first
    field whose value cannot work.
    """
    _check_fields(config)
    find_method(config.method).check(config)
    method = build_method(config, mapped=True)
    _check_mesh(config.mesh.model, method, device_count // slices)
    _check_batch_size(config.train, device_count)
    return method


def build_trained(
    config: ConfigDict, path: AnyPath, describe: Callable[[Method], T]
) -> tuple[Method, T]:
    """Return the method of a config that a run or an export has kept, and its arrays' shapes.

    path: of the config. describe: returns the shapes. Whoever only translates needs nothing of what
    training checks beside: devices, or networks that losses look at. Raises `InputError` where no
    networks can be made of the config.
    """
    try:
        _check_fields(config)
        method = build_method(config)
        return method, describe(method)
    except Exception as error:  # a network asks more of its sizes than a few rules tell
        raise InputError(f"{path} describes no networks: {in_a_line(error)}") from error


def _check_fields(config: ConfigDict) -> None:
    _check_numbers(config)
    rules.check(config, _RULES)
    has = flatten(config)
    if lacking := [field for field in find_fields(config.method) if field not in has]:
        raise InputError(
            f"config.method is {config.method!r}, which takes config.{lacking[0]}, and these are "
            f"the fields of another: say the method after the file, --config=FILE:{config.method}"
        )
    _check_image_size(tuple(config.data.image_size))
    _check_scaled_size(config.data)


def _check_scaled_size(data: ConfigDict) -> None:
    scaled = data.load_scale * max(data.image_size)
    if scaled > LARGEST_SIDE:
        raise InputError(
            f"config.data.image_size is {tuple(data.image_size)} and config.data.load_scale "
            f"{data.load_scale:g}: pictures would be scaled to {scaled:,.0f} px, and "
            f"{LARGEST_SIDE:,} is the most"
        )


def _check_numbers(config: ConfigDict) -> None:
    """Raise `InputError` for a whole number that no array, or no network, could be made by."""
    for field, value in flatten(config).items():
        most = LARGEST_NETWORK if field.startswith("model.") else LARGEST
        most = LARGEST_BATCH if field == "train.batch_size" else most
        numbers = value if isinstance(value, tuple) else (value,)
        if any(type(x) is int and x > most for x in numbers):
            raise InputError(f"config.{field} is {in_a_line(value, 40)}; it must be {most} or less")


def _check_batch_size(train: ConfigDict, device_count: int) -> None:
    parts = device_count * train.accumulate
    if train.batch_size % parts:
        fitting = math.ceil(train.batch_size / parts) * parts
        each = ""
        if train.accumulate > 1:
            each = f", in {train.accumulate} parts each (config.train.accumulate),"
        raise InputError(
            f"config.train.batch_size is {train.batch_size}, which {device_count} devices{each} "
            f"cannot share evenly; say --config.train.batch_size={fitting}"
        )


def _check_mesh(model: int, method: Method, device_count: int) -> None:
    if model < 2:
        return
    rows = sorted(set(method.split.values()))
    if not rows:
        raise InputError(
            f"config.mesh.model is {model}, and these networks have nothing to share; say 0"
        )
    if device_count % model or any(count % model for count in rows):
        most = math.gcd(device_count, *rows)
        raise InputError(
            f"config.mesh.model is {model}, which must divide the {device_count} devices and the "
            f"{' and '.join(map(str, rows))} rows that they share; say {most}, or 0 for as many "
            "as can be"
        )


def _check_image_size(size: tuple[Any, ...]) -> None:
    field = f"config.data.image_size is {size}"
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise InputError(f"{field}; it must be (height, width), two whole numbers of px")
    if any(side % 4 or side < 16 for side in size):
        near = tuple(max(16, round(side / 4) * 4) for side in size)
        raise InputError(f"{field}; both must be multiples of 4, 16 or more, such as {near}")
