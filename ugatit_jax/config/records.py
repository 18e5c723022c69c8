"""How a run keeps its config, and where two configs differ."""

import json
from typing import Any

from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.methods import find_method

# What runs had done before these fields were there.
BEFORE_THERE_WERE: dict[str, dict[str, Any]] = {
    "model": {
        "unbiased_variance": True,
        "affine_instance_norm": False,
        "bias_everywhere": False,
        "shared_cam": False,
        "same_padding": False,
        "rho_start": 0.9,
        "rho_margin": 0.0,
        "spectral_norm": True,
    },
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
    # Which parameters decay decides what the optimiser keeps.
    fields = {"method", "train.decay_kernels_only"}
    fields |= find_method(config.method).architecture(config)
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
        if "method" not in fields:  # there was one
            fields["method"] = "ugatit"
            for section, before in BEFORE_THERE_WERE.items():
                fields[section] = before | fields.get(section, {})
        return ConfigDict(fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the config {path}: {error!r}") from None
