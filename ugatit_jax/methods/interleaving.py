"""Several batches in one call of a network, and its results apart again."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def interleave(*batches: Array) -> Array:
    """Merge batches into one: x[0], y[0], …, x[1], y[1], …: a split over devices stays as it is."""
    return jnp.stack(batches, axis=1).reshape(-1, *batches[0].shape[1:])


def deinterleave(outputs: Any, count: int = 2) -> tuple[Any, ...]:
    """Undo `interleave` of so many batches in every array of a tree."""
    return tuple(jax.tree.map(lambda z, i=i: z[i::count], outputs) for i in range(count))
