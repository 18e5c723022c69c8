"""The networks, and how a config names them."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.discriminator import Discriminator, Judgement, minimum_size
from ugatit_jax.models.generator import Generator, Translation
from ugatit_jax.models.layers import fan_in_uniform, power_iteration

__all__ = [
    "Conventions",
    "Discriminator",
    "Generator",
    "Judgement",
    "Translation",
    "build_discriminators",
    "build_generator",
    "minimum_size",
    "power_iteration",
]

INITIALIZERS = {"normal": nn.initializers.normal(0.02), "uniform": fan_in_uniform}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_generator(config: ConfigDict) -> Generator:
    """Return the generator that a (checked) config describes; both directions have the same."""
    model = config.model
    return Generator(
        base_width=model.base_width,
        residual_blocks=model.residual_blocks,
        light=model.light,
        conventions=conventions_of(config),
        kernel_init=INITIALIZERS[model.initializer],
        dtype=compute_dtype(config),
    )


def build_discriminators(config: ConfigDict) -> dict[str, Discriminator]:
    """Return {'local': …, 'global': …}; both domains have the same."""
    model = config.model
    return {
        scale: Discriminator(
            base_width=model.base_width,
            layers=layers,
            conventions=conventions_of(config),
            kernel_init=INITIALIZERS[model.initializer],
            dtype=compute_dtype(config),
        )
        for scale, layers in (("local", model.local_layers), ("global", model.global_layers))
    }


def conventions_of(config: ConfigDict) -> Conventions:
    """Return the conventions that a config's `model` holds, field by field."""
    names = (field.name for field in dataclasses.fields(Conventions))
    return Conventions(**{name: config.model[name] for name in names})


def compute_dtype(config: ConfigDict) -> jnp.dtype:
    """Return the type of the inputs of convolutions; 'auto' depends on the device."""
    if config.dtype == "auto":
        return DTYPES["float32" if jax.default_backend() == "cpu" else "bfloat16"]
    return DTYPES[config.dtype]
