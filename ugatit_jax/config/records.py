"""How a run keeps its config, and where two configs differ."""

from typing import Any, NamedTuple, Self

from ml_collections import ConfigDict

from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.methods import find_method

# What runs had done before these fields were there. A field that came later has a default that
# changes nothing; these have not.
BEFORE_THERE_WERE = {"eval": {"every": 0}}


class Origin(NamedTuple):
    """Where a config comes from.

    experiment: as --config names it. changes: {'section.name': (value, the experiment's)}.
    """

    experiment: str
    changes: dict[str, tuple[Any, Any]]

    @classmethod
    def of_defaults(cls, config: ConfigDict) -> Self:
        """Of a config that no command line asked for: what differs from its method's defaults."""
        defaults = get_config(config.method)
        return cls(f"default:{config.method}", different_fields(config, defaults))

    def describe(self) -> list[str]:
        """Return each change in words."""
        return [f"{field} = {now!r} (not {was!r})" for field, (now, was) in self.changes.items()]


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
    """Read what `save_config` wrote.

    Raises `InputError` if the file cannot be read, or holds a value that is not of its field's
    type.
    """
    try:
        fields = read_object(path)
        if "data" not in fields:  # which every run has said
            raise ValueError("it says nothing of data")
        method = fields.setdefault("method", "ugatit")
        if not isinstance(method, str):
            raise ValueError(f"method is {method!r}, which names none")
        before = get_config(method).to_dict()
        for name, default in before.items():
            if isinstance(default, dict):
                default |= BEFORE_THERE_WERE.get(name, {})
                found = fields.get(name, {})
                if not isinstance(found, dict):
                    raise ValueError(f"{name} is {found!r} and no section")
                typed = {k: _typed(f"{name}.{k}", found, k, v) for k, v in default.items()}
                fields[name] = found | typed
            else:
                fields[name] = _typed(name, fields, name, default)
        return ConfigDict(fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = in_a_line(error if isinstance(error, InputError) else repr(error))
        raise InputError(f"cannot read the config {path}: {said}") from None


def _typed(field: str, section: dict[str, Any], name: str, default: Any) -> Any:
    """Return a value of a section if it is of the type of its default, else raise `ValueError`."""
    value = section.get(name, default)
    if isinstance(value, list) and isinstance(default, tuple):
        value = tuple(value)  # JSON has lists only
    if type(value) is int and isinstance(default, float):
        value = float(value)
    if type(value) is not type(default):
        kind = type(default).__name__
        raise ValueError(f"{field} is {value!r}, and is to be a {kind} such as {default!r}")
    return value
