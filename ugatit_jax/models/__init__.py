"""The networks and their layers: arrays in, arrays out.

Nothing here knows a config, a loss or a device; the names that configs use are in the tables.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ugatit_jax.models.conventions import CAM, Conventions
from ugatit_jax.models.discriminator import Discriminator, Judgement, minimum_size
from ugatit_jax.models.finishing import SHIFTS, Finish, translate
from ugatit_jax.models.generator import SKIPS, Generator, Translation
from ugatit_jax.models.layers import fan_in_uniform, power_iteration
from ugatit_jax.models.normalization import DECODER_FORMS

__all__ = [
    "CAM",
    "DECODER_FORMS",
    "SHIFTS",
    "SKIPS",
    "Conventions",
    "Discriminator",
    "Finish",
    "Generator",
    "Judgement",
    "Translation",
    "compute_dtype",
    "minimum_size",
    "power_iteration",
    "rematerialized",
    "translate",
]

INITIALIZERS = {
    "normal": nn.initializers.normal(0.02),
    "truncated_normal": nn.initializers.truncated_normal(0.02),  # cut off at two deviations
    "uniform": fan_in_uniform,
}
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


def rematerialized(network: type[nn.Module], remat: str) -> Any:
    """Return a network's class, or one that computes again what `remat` of REMAT does not keep."""
    return network if remat == "none" else nn.remat(network, policy=REMAT[remat])


def compute_dtype(name: str) -> jnp.dtype:
    """Return the type of the inputs of convolutions; 'auto' depends on the device."""
    if name == "auto":
        return DTYPES["float32" if jax.default_backend() == "cpu" else "bfloat16"]
    return DTYPES[name]
