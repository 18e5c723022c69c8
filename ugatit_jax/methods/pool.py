"""A pool of earlier translations, for discriminators not to forget (Shrivastava et al., 2017).

A discriminator sees the newest translation or, in half of the cases once the pool is full, an
earlier one, whose place the newest takes.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.methods.rules import Rule

LARGEST = 10_000  # translations: all of them lie in memory, and in every checkpoint
RULE = Rule(("loss.pool",), lambda v: 0 <= v <= LARGEST, f"0 to {LARGEST:,}")
Pool = dict[str, Any]  # {'items': a tree of [size, …], 'count': how many there are}


def architecture(config: ConfigDict) -> set[str]:
    """Return the fields that parameters and pool depend on, of a method that has a pool."""
    of_networks = {f"model.{name}" for name in config.model} - {"model.initializer"}
    return of_networks | {"loss.pool", "data.image_size"}


def empty_pool(size: int, item: Any) -> Pool:
    """Return a pool for `size` trees of arrays of the shapes and types of `item`."""
    items = jax.tree.map(lambda x: jnp.zeros((size, *x.shape), x.dtype), item)
    return {"items": items, "count": jnp.zeros((), jnp.int32)}


def exchange(pool: Pool, newest: Any, key: Array) -> tuple[Pool, Any]:
    """Put a batch of items, a tree of [N, …], into the pool in their order.

    Returns the pool, and for each item itself or the earlier one that it replaced.
    """

    def one(pool: Pool, of_item: tuple[Any, Array]) -> tuple[Pool, Any]:
        item, key = of_item
        items, count = pool["items"], pool["count"]
        size = len(jax.tree.leaves(items)[0])
        of_coin, of_slot = jax.random.split(key)
        full = count == size
        swapped = full & (jax.random.uniform(of_coin) > 0.5)
        slot = jnp.where(full, jax.random.randint(of_slot, (), 0, size), count)
        kept = jax.tree.map(lambda x: x[slot], items)
        seen = jax.tree.map(lambda old, new: jnp.where(swapped, old, new), kept, item)
        put = ~full | swapped
        items = jax.tree.map(
            lambda x, old, new: x.at[slot].set(jnp.where(put, new, old)), items, kept, item
        )
        return {"items": items, "count": jnp.minimum(count + 1, size)}, seen

    keys = jax.random.split(key, len(jax.tree.leaves(newest)[0]))
    return jax.lax.scan(one, pool, (newest, keys))
