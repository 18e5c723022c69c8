"""What is trained: `Method`, the seam; a file for each method; the terms of their objectives.

Nothing here knows files, flags, how a mesh is made, or the loop that trains.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from ugatit_jax.methods.method import Method

# The word for a method in a config: the module of its fields, and that of its class. Without JAX in
# the first one a command line is read before JAX is imported, which takes seconds.
METHODS = {
    "ugatit": ("ugatit_jax.methods.ugatit_fields", "ugatit_jax.methods.ugatit:UGATIT"),
    "cyclegan": ("ugatit_jax.methods.cyclegan_fields", "ugatit_jax.methods.cyclegan:CycleGAN"),
    "unit": ("ugatit_jax.methods.unit_fields", "ugatit_jax.methods.unit:UNIT"),
    "munit": ("ugatit_jax.methods.munit_fields", "ugatit_jax.methods.munit:MUNIT"),
    "drit": ("ugatit_jax.methods.drit_fields", "ugatit_jax.methods.drit:DRIT"),
    "aggan": ("ugatit_jax.methods.aggan_fields", "ugatit_jax.methods.aggan:AGGAN"),
    "cartoongan": (
        "ugatit_jax.methods.cartoongan_fields",
        "ugatit_jax.methods.cartoongan:CartoonGAN",
    ),
}


def find_fields(name: str) -> dict[str, Any]:
    """Return the fields of a method that METHODS names, {'model.x': value, 'loss.x': value}.

    And the values that it wants for those of 'train' and 'data', where they are not U-GAT-IT's.
    """
    return importlib.import_module(METHODS[name][0]).FIELDS


def find_variants(name: str) -> dict[str, dict[str, Any]]:
    """Return the words that may follow the config's name, {word: {field: value}}."""
    return getattr(importlib.import_module(METHODS[name][0]), "VARIANTS", {})


def find_method(name: str) -> "type[Method]":
    """Return the class of a method that METHODS names."""
    module, _, found = METHODS[name][1].partition(":")
    return getattr(importlib.import_module(module), found)


def build_method(config: "ConfigDict", mapped: bool = False) -> "Method":
    """Return the method that a (checked) config describes; `mapped`: see `Method.from_config`."""
    return find_method(config.method).from_config(config, mapped)
