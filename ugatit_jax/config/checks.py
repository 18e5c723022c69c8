"""Configs: the checks before anything is compiled, and how a run directory keeps one."""

import dataclasses
import json
import math
from typing import Any

from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.methods.losses import KINDS
from ugatit_jax.methods.optimizer import LEARNING_RATE_SCALING
from ugatit_jax.models import (
    DTYPES,
    INITIALIZERS,
    REMAT,
    Conventions,
    first_dense_rows,
    minimum_size,
)

# Fields that decide the shapes and the meaning of the parameters.
ARCHITECTURE = (
    "model.light",
    "model.base_width",
    "model.residual_blocks",
    "model.local_layers",
    "model.global_layers",
    *(f"model.{f.name}" for f in dataclasses.fields(Conventions) if f.name != "rho_start"),
)
AT_LEAST_ONE = (
    "model.base_width",
    "model.residual_blocks",
    "train.steps",
    "train.batch_size",
    "train.accumulate",
    "log_every",
    "samples.count",
    "checkpoint.every",
    "checkpoint.keep",
)
NOT_NEGATIVE = (
    "data.cache_gib",
    "mesh.model",
    "loss.adversarial",
    "loss.penalty",
    "loss.cycle",
    "loss.identity",
    "loss.cam",
    "train.learning_rate",
    "train.weight_decay",
    "samples.every",
    "eval.every",
    "checkpoint.keep_every",
)
FRACTIONS = ("train.beta1", "train.beta2", "train.ema_decay", "model.rho_margin")
# What runs had done before these fields were there.
BEFORE_THERE_WERE: dict[str, dict[str, Any]] = {
    "model": dataclasses.asdict(Conventions()),
    "loss": {"kind": "lsgan", "penalty": 10.0},
    "train": {
        "decay_kernels_only": False,
        "tf1_epsilon": False,
        "accumulate": 1,
        "remat": "none",
        "learning_rate_scaling": "none",
    },
    "mesh": {"model": 0},
    "eval": {"every": 0, "pictures": 1_000, "features": "auto"},
}


def check_config(config: ConfigDict, device_count: int) -> None:
    """Raise `InputError` for the first field whose value cannot work on so many devices."""
    for fields, good, what in (
        (AT_LEAST_ONE, lambda v: v >= 1, "1 or more"),
        (NOT_NEGATIVE, lambda v: v >= 0 and math.isfinite(v), "0 or more"),
        (FRACTIONS, lambda v: 0 <= v < 1, "in [0, 1)"),
        (("data.load_scale",), lambda v: v >= 1 and math.isfinite(v), "1 or more"),
        (("dtype",), lambda v: v in ("auto", *DTYPES), f"one of auto, {', '.join(DTYPES)}"),
        (("model.rho_start",), lambda v: 0 <= v <= 1, "in [0, 1]"),
        (("loss.kind",), KINDS.__contains__, f"one of {', '.join(KINDS)}"),
        (("model.initializer",), INITIALIZERS.__contains__, f"one of {', '.join(INITIALIZERS)}"),
        (("train.remat",), REMAT.__contains__, f"one of {', '.join(REMAT)}"),
        (
            ("train.learning_rate_scaling",),
            LEARNING_RATE_SCALING.__contains__,
            f"one of {', '.join(LEARNING_RATE_SCALING)}",
        ),
        (("model.local_layers", "model.global_layers"), lambda v: v >= 3, "3 or more"),
        (("eval.pictures",), lambda v: v >= 2, "2 or more"),
        (("seed",), lambda v: 0 <= v < 2**31, "0 to 2147483647"),
    ):
        for field in fields:
            value = get_field(config, field)
            if not good(value):
                raise InputError(f"config.{field} is {value!r}; it must be {what}")
    _check_image_size(config)
    _check_mesh(config, device_count)
    batch_size, accumulate = config.train.batch_size, config.train.accumulate
    parts = device_count * accumulate
    if batch_size % parts:
        fitting = math.ceil(batch_size / parts) * parts
        each = f", in {accumulate} parts each (config.train.accumulate)," if accumulate > 1 else ""
        raise InputError(
            f"config.train.batch_size is {batch_size}, which {device_count} devices{each} cannot "
            f"share evenly; say --config.train.batch_size={fitting}"
        )


def _check_mesh(config: ConfigDict, device_count: int) -> None:
    model, rows = config.mesh.model, first_dense_rows(config)
    if model > 1 and config.model.light:
        raise InputError(
            f"config.mesh.model is {model}, and light generators have nothing to share; say 0"
        )
    if model and (device_count % model or rows % model):
        most = math.gcd(device_count, rows)
        raise InputError(
            f"config.mesh.model is {model}, which must divide the {device_count} devices and the "
            f"{rows} rows of the first dense layer; say {most}, or 0 for as many as can be"
        )


def _check_image_size(config: ConfigDict) -> None:
    size = tuple(config.data.image_size)
    field = f"config.data.image_size is {size}"
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise InputError(f"{field}; it must be (height, width), two whole numbers of px")
    if any(side % 4 or side < 16 for side in size):
        near = tuple(max(16, round(side / 4) * 4) for side in size)
        raise InputError(f"{field}; both must be multiples of 4, 16 or more, such as {near}")
    for scale in ("local", "global"):
        layers = config.model[f"{scale}_layers"]
        if min(size) < minimum_size(layers):
            fitting = layers
            while min(size) < minimum_size(fitting):
                fitting -= 1
            raise InputError(
                f"{field}, too small for the {scale} discriminator of {layers} layers, which takes "
                f"{minimum_size(layers)} px; say --config.model.{scale}_layers={fitting}, "
                "or take larger pictures"
            )


def get_field(config: ConfigDict, field: str) -> Any:
    """Return the value of 'section.name'; None where a config does not have it."""
    value: Any = config
    for name in field.split("."):
        value = value.get(name) if value is not None else None
    return value


def different_fields(config: ConfigDict, other: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Return {'section.name': (value in config, value in other)} where the two differ."""
    ours, theirs = flatten(config), flatten(other)
    return {
        field: (ours.get(field), theirs.get(field))
        for field in sorted(ours.keys() | theirs.keys())
        if ours.get(field) != theirs.get(field)
    }


def architecture_differences(config: ConfigDict, other: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Return the `different_fields` that make the parameters of one useless for the other."""
    fields = set(ARCHITECTURE)
    if not config.model.light:
        fields.add("data.image_size")  # the first fully connected layer follows the size
    return {k: v for k, v in different_fields(config, other).items() if k in fields}


def flatten(config: ConfigDict) -> dict[str, Any]:
    """Return {'section.name': value}."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= {f"{name}.{rest}": v for rest, v in flatten(value).items()}
        else:
            flat[name] = tuple(value) if isinstance(value, list) else value
    return flat


def save_config(config: ConfigDict, path: AnyPath) -> None:
    """Write a config as JSON."""
    write_atomically(path, config.to_json(indent=2) + "\n")


def load_config(path: AnyPath) -> ConfigDict:
    """Read what `save_config` wrote. Raises `InputError` if the file cannot be read."""
    try:
        fields = json.loads(path.read_text())
        fields["data"]["image_size"] = tuple(fields["data"]["image_size"])  # JSON has lists only
        for section, before in BEFORE_THERE_WERE.items():
            fields[section] = before | fields.get(section, {})
        return ConfigDict(fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the config {path}: {error!r}") from None
