"""Discriminators of several scales: how a config describes them, and what least squares makes of
their logits.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.methods import losses, rules
from ugatit_jax.models import compute_dtype, rematerialized
from ugatit_jax.models.multiscale_discriminator import MultiscaleDiscriminator, minimum_size

RULES = (rules.at_least_one("model.discriminator_layers", "model.discriminator_scales"),)


def check(config: ConfigDict) -> None:
    """Raise `InputError` if a config's discriminators cannot work."""
    rules.check(config, RULES)
    size, model = tuple(config.data.image_size), config.model
    smallest = minimum_size(model.discriminator_layers, model.discriminator_scales)
    if min(size) < smallest:
        raise InputError(
            f"config.data.image_size is {size}, too small for discriminators of "
            f"{model.discriminator_layers} layers at {model.discriminator_scales} scales, which "
            f"take {smallest} px; take fewer (config.model.discriminator_layers, "
            "config.model.discriminator_scales), or larger pictures"
        )


def build(config: ConfigDict, **how: Any) -> MultiscaleDiscriminator:
    """Return the discriminator that a (checked) config describes; `how`: its other fields."""
    network: MultiscaleDiscriminator = rematerialized(MultiscaleDiscriminator, config.train.remat)(
        base_width=config.model.base_width,
        layers=config.model.discriminator_layers,
        scales=config.model.discriminator_scales,
        dtype=compute_dtype(config.dtype),
        **how,
    )
    return network


def least_squares(logits: Sequence[Array], target: float) -> Array:
    """Mean squared distance of logits to the target, summed over scales."""
    return jnp.sum(jnp.stack([losses.least_squares(x, target) for x in logits]))
