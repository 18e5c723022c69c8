"""Two batches in one call of a network, and its results apart again."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def interleave(x: Array, y: Array) -> Array:
    """Merge two batches into one: x[0], y[0], x[1], …: a split over devices stays as it is."""
    return jnp.stack([x, y], axis=1).reshape(-1, *x.shape[1:])


def deinterleave(outputs: Any) -> tuple[Any, Any]:
    """Undo `interleave` in every array of a tree."""
    return jax.tree.map(lambda z: z[0::2], outputs), jax.tree.map(lambda z: z[1::2], outputs)
