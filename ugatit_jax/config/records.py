"""How a run keeps its config, and where two configs differ."""

import json
from typing import Any

from ml_collections import ConfigDict

from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.methods import find_method

# What runs had done before these fields were there. A field that came later has a default that
# changes nothing; these have not.
BEFORE_THERE_WERE = {"eval": {"every": 0}}


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
        before = get_config(fields.setdefault("method", "ugatit")).to_dict()
        for section, values in before.items():
            if isinstance(values, dict):
                values |= BEFORE_THERE_WERE.get(section, {})
                fields[section] = values | fields.get(section, {})
        return ConfigDict(before | fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read the config {path}: {error!r}") from None
