"""The networks, and how a config names them."""

import dataclasses
from typing import Any

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
    "first_dense_rows",
    "minimum_size",
    "power_iteration",
]

INITIALIZERS = {"normal": nn.initializers.normal(0.02), "uniform": fan_in_uniform}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    """Tell what `remat` "convolutions" keeps: what is dear to compute again."""
    return primitive.name in ("conv_general_dilated", "dot_general")


# What of a network's forward pass is kept for its backward pass; the rest is computed again.
REMAT = {
    "none": jax.checkpoint_policies.everything_saveable,
    "convolutions": _is_product,
    "all": jax.checkpoint_policies.nothing_saveable,
}


def build_generator(config: ConfigDict, split_over: str | None = None) -> Generator:
    """Return the generator that a (checked) config describes; both directions have the same.

    split_over: the mapped axis, if any, over which the rows of a full one's first dense layer lie.
    """
    model = config.model
    return _rematerialized(Generator, config)(
        base_width=model.base_width,
        residual_blocks=model.residual_blocks,
        light=model.light,
        conventions=conventions_of(config),
        kernel_init=INITIALIZERS[model.initializer],
        dtype=compute_dtype(config),
        split_over=None if model.light else split_over,
    )


def first_dense_rows(config: ConfigDict) -> int:
    """Return the number of rows of the dense layer that a full generator's MLP begins with."""
    height, width = config.data.image_size
    return height // 4 * (width // 4) * 4 * config.model.base_width


def _rematerialized(network: type[nn.Module], config: ConfigDict) -> Any:
    remat = config.train.remat
    return network if remat == "none" else nn.remat(network, policy=REMAT[remat])


def build_discriminators(config: ConfigDict) -> dict[str, Discriminator]:
    """Return {'local': …, 'global': …}; both domains have the same."""
    model = config.model
    return {
        scale: _rematerialized(Discriminator, config)(
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
