"""Rules on single fields of a config: which values can work, and what is said of others."""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.models.patch_discriminator import minimum_size


class Rule(NamedTuple):
    """Fields, 'section.name', the test that their values must pass, and what it asks for."""

    fields: tuple[str, ...]
    passes: Callable[[Any], bool]
    wanted: str


def at_least_one(*fields: str) -> Rule:
    """Return the rule of counts."""
    return Rule(fields, lambda value: value >= 1, "1 or more")


def not_negative(*fields: str) -> Rule:
    """Return the rule of weights, rates and periods."""
    return Rule(fields, lambda value: value >= 0 and math.isfinite(value), "0 or more")


def one_of(field: str, names: Collection[str]) -> Rule:
    """Return the rule of a field that holds a name."""
    return Rule((field,), names.__contains__, f"one of {', '.join(names)}")


def check(config: ConfigDict, rules: Iterable[Rule]) -> None:
    """Raise `InputError` for the first field that breaks a rule."""
    for rule in rules:
        for field in rule.fields:
            section, _, name = field.rpartition(".")
            value = (config[section] if section else config)[name]
            if not rule.passes(value):
                raise InputError(f"config.{field} is {value!r}; it must be {rule.wanted}")


def check_patches(config: ConfigDict) -> None:
    """Raise `InputError` if pictures are too small for PatchGANs of so many layers."""
    size, layers = tuple(config.data.image_size), config.model.discriminator_layers
    if min(size) < minimum_size(layers):
        raise InputError(
            f"config.data.image_size is {size}, too small for discriminators of {layers} "
            f"layers, which take {minimum_size(layers)} px; take fewer "
            "(config.model.discriminator_layers), or larger pictures"
        )
