"""What a generator changes of its input, with the fills as flat as the input's."""

import itertools

import jax
import jax.numpy as jnp
from jax import Array

# How far apart colours of one fill may be, as standard deviations of Gaussians, in units of
# pictures in [-1, 1]: 15 levels of 255 in the input, and 60 in its translation, whose fills have
# noise and gradients of their own.
OF_INPUT, OF_TRANSLATION = 15 / 127.5, 60 / 127.5


def flatten(change: Array, pictures: Array, radius: int) -> Array:
    """Return changes of pictures, each the mean of those around it that belong to the same fill.

    A joint bilateral filter (Petschnigg et al. 2004, "Digital photography with flash and no-flash
    image pairs", equation 4) with two guides: pixels count by how alike they are in the input, and
    in its translation, pictures + change. Within the window all distances count the same.

    change, pictures: [N, H, W, 3], pictures in [-1, 1]. radius: of the square window, in px; past
    the border there is nothing. Shape and type are those of `change`; computed in float32.
    """
    height, width = change.shape[1:3]
    shown = jnp.clip(pictures + change, -1, 1)
    guides = jnp.concatenate([pictures / OF_INPUT, shown / OF_TRANSLATION], -1)
    inside = jnp.ones((1, height, width, 1))
    around = ((0, 0), (radius, radius), (radius, radius), (0, 0))
    padded = [jnp.pad(x.astype(jnp.float32), around) for x in (guides, change, inside)]

    def add(sums: tuple[Array, Array], corner: Array) -> tuple[tuple[Array, Array], None]:
        neighbour, of_change, exists = (
            jax.lax.dynamic_slice(x, (0, *corner, 0), (x.shape[0], height, width, x.shape[-1]))
            for x in padded
        )
        distance = jnp.square(neighbour - guides).sum(-1, keepdims=True)
        weight = exists * jnp.exp(-distance / 2)
        total, weights = sums
        return (total + weight * of_change, weights + weight), None

    window = jnp.array([*itertools.product(range(2 * radius + 1), repeat=2)])
    nothing = jnp.zeros(change.shape), jnp.zeros((*change.shape[:3], 1))
    (total, weights), _ = jax.lax.scan(add, nothing, window)
    return (total / weights).astype(change.dtype)
