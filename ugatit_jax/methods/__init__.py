"""What is trained: `Method`, the seam; a file for each method; the terms of their objectives.

Nothing here knows files, flags, how a mesh is made, or the loop that trains.
"""

import importlib

from ml_collections import ConfigDict

from ugatit_jax.methods.method import Method

# The word for a method in a config, and where it is: a module, and its class.
METHODS = {
    "ugatit": "ugatit_jax.methods.ugatit:UGATIT",
    "cyclegan": "ugatit_jax.methods.cyclegan:CycleGAN",
}


def find_method(name: str) -> type[Method]:
    """Return the class of a method that METHODS names."""
    module, _, found = METHODS[name].partition(":")
    return getattr(importlib.import_module(module), found)


def build_method(config: ConfigDict, mapped: bool = False) -> Method:
    """Return the method that a (checked) config describes; `mapped`: see `Method.from_config`."""
    return find_method(config.method).from_config(config, mapped)
