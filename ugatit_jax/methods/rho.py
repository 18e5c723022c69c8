"""What AdaLIN and LIN learn of how much of which normalisation to take: rho, in [0, 1]."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ugatit_jax.methods.method import AT_BOUND


def clip(generators: Any) -> Any:
    """Return the generators' parameters with every rho, and nothing else, projected on [0, 1]."""

    def clip_leaf(path: tuple[Any, ...], value: Array) -> Array:
        return jnp.clip(value, 0, 1) if path[-1].key == "rho" else value

    return jax.tree.map_with_path(clip_leaf, generators)


def describe(generators: Any) -> dict[str, float]:
    """Return mean, min and max of every rho: {'rho/a2b/decoder_0/norm_0/mean': …}.

    And, where there are any, the share of all their values that are at 0 or 1.
    """
    statistics, at_bound = {}, []
    for path, value in jax.tree_util.tree_flatten_with_path(generators)[0]:
        *layer, name = (entry.key for entry in path)
        if name == "rho":
            rho = np.asarray(value)
            at_bound.append(((rho <= 0) | (rho >= 1)).ravel())
            for what in ("mean", "min", "max"):
                statistics[f"rho/{'/'.join(layer)}/{what}"] = float(getattr(rho, what)())
    if at_bound:
        statistics[f"{AT_BOUND}rho"] = float(np.concatenate(at_bound).mean())
    return statistics
