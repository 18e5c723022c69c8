"""What is done to a generator's translations when it translates, and not in its losses."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import Array

from ugatit_jax.models.flattening import flatten
from ugatit_jax.models.generator import SKIPS, Generator, Translation

SHIFTS = (1, 2, 4)
PERIOD = 4  # px: a generator halves its maps twice, and treats pictures moved by this alike


class Finish(NamedTuple):
    """How translations are finished, in this order; the last two with a skip alone.

    shifts: by how many places along each side pictures are moved, of SHIFTS, and their translations
    averaged. flatten: px around, within which what is added to the input is averaged by fills; 0:
    is not. soft_threshold: of what is added to it, in units of pictures in [-1, 1].
    """

    shifts: int = 1
    flatten: int = 0
    soft_threshold: float = 0.0


def translate(generator: Generator, params: Any, pictures: Array, how: Finish) -> Translation:
    """Translate pictures [N, H, W, 3] in [-1, 1] with a generator's parameters, and finish them."""

    def generate(pictures: Array) -> Translation:
        return cast(Translation, generator.apply({"params": params}, pictures))

    result = generate(pictures)
    image = result.image
    if how.shifts > 1:  # then only the heat map is of the pictures where they are
        image = average_shifts(lambda moved: generate(moved).image, pictures, how.shifts)
    added_to = SKIPS[generator.skip](pictures.astype(image.dtype))
    if added_to is None or not (how.flatten or how.soft_threshold):
        return result._replace(image=image)
    change = image - added_to
    if how.flatten:
        change = flatten(change, pictures, how.flatten)
    if how.soft_threshold:
        change = soft_threshold(change, how.soft_threshold)
    return result._replace(image=added_to + change)


def average_shifts(translate: Callable[[Array], Array], pictures: Array, shifts: int) -> Array:
    """Return the mean of translations of pictures [N, H, W, 3] moved by shifts² places.

    Cycle spinning (Coifman and Donoho 1995, "Translation-invariant de-noising"). What a generator
    halves and doubles leaves a grid of `PERIOD` px, wherever the picture lies on it; the places are
    spread evenly over one. Past the border lies the picture's reflection.
    """
    height, width = pictures.shape[1:3]
    step = PERIOD // shifts
    room = PERIOD - step  # between the first place and the last
    before = room // 2
    sides = (before, room - before)
    padded = jnp.pad(pictures, ((0, 0), sides, sides, (0, 0)), mode="reflect")
    past = (room, room)

    def add(sums: tuple[Array, Array], corner: Array) -> tuple[tuple[Array, Array], None]:
        moved = jax.lax.dynamic_slice(padded, (0, *corner, 0), pictures.shape)
        back = (0, *(room + before - corner), 0)
        added = (translate(moved), jnp.ones((1, height, width, 1)))
        here = (
            jax.lax.dynamic_slice(jnp.pad(x, ((0, 0), past, past, (0, 0))), back, x.shape)
            for x in added
        )
        return cast(tuple[Array, Array], tuple(map(jnp.add, sums, here))), None

    corners = jnp.array([*itertools.product(range(0, room + 1, step), repeat=2)])
    nothing = jnp.zeros(pictures.shape), jnp.zeros((1, height, width, 1))
    (total, count), _ = jax.lax.scan(add, nothing, corners)
    return total / count


def soft_threshold(change: Array, threshold: float) -> Array:
    """Bring a change of pictures nearer to 0 by a threshold, but not beyond 0.

    What was to stay stays exactly, and flat colours flat: noise of one or two levels of 255 on them
    is, by KID, as far from them as another style of drawing is. Not in training, where it makes
    room for noise of its size.
    """
    return jnp.sign(change) * jnp.maximum(jnp.abs(change) - threshold, 0)
