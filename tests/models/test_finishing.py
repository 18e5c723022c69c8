"""What is done to translations, against the same by hand."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from ugatit_jax.models import Finish, Generator, translate
from ugatit_jax.models.finishing import average_shifts
from ugatit_jax.models.flattening import flatten

GENERATOR = Generator(base_width=4, residual_blocks=1, light=True, skip="full")


@pytest.fixture(scope="module")
def pictures() -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (2, 16, 24, 3), minval=-1)


@pytest.fixture(scope="module")
def params(pictures: jax.Array) -> Any:
    return jax.jit(GENERATOR.init)(jax.random.key(1), pictures)["params"]


def generate(params: Any, pictures: Any) -> np.ndarray:
    return np.asarray(jax.jit(GENERATOR.apply)({"params": params}, pictures).image)


@pytest.mark.parametrize("shifts", [2, 4])
def test_translations_of_moved_pictures_are_averaged(
    shifts: int, pictures: jax.Array, params: Any
) -> None:
    found = jax.jit(translate, static_argnums=(0, 3))(GENERATOR, params, pictures, Finish(shifts))
    before, after = {2: (1, 1), 4: (1, 2)}[shifts]
    sides = ((0, 0), (before, after), (before, after), (0, 0))
    wide = np.pad(pictures, sides, mode="reflect")
    total, count = np.zeros(wide.shape), np.zeros(wide.shape)
    for y, x in itertools.product({2: (0, 2), 4: (0, 1, 2, 3)}[shifts], repeat=2):
        place = np.s_[:, y : y + 16, x : x + 24]
        total[place] += generate(params, wide[place])
        count[place] += 1
    inside = np.s_[:, before : before + 16, before : before + 24]
    np.testing.assert_allclose(found.image, total[inside] / count[inside], atol=1e-5)
    assert np.abs(found.image - generate(params, pictures)).max() > 0.1


@pytest.mark.parametrize("shifts", [2, 4])
def test_shifts_take_a_grid_away_and_leave_the_picture(shifts: int, pictures: jax.Array) -> None:
    grid = np.tile([[[1], [0], [-1], [0]]], (1, 16, 6, 3)).reshape(1, 16, 24, 3)
    found = average_shifts(lambda moved: moved + grid, pictures, shifts)
    np.testing.assert_allclose(found[:, 3:-3, 3:-3], pictures[:, 3:-3, 3:-3], atol=1e-6)


def test_what_is_added_is_averaged_then_flattened_then_shrunk(
    pictures: jax.Array, params: Any
) -> None:
    mean = translate(GENERATOR, params, pictures, Finish(2)).image
    finished = translate(GENERATOR, params, pictures, Finish(2, 2, 0.02)).image
    flat = torch.from_numpy(np.array(flatten(mean - pictures, pictures, 2)))
    expected = pictures + torch.nn.functional.softshrink(flat, 0.02).numpy()
    np.testing.assert_allclose(finished, expected, atol=1e-5)
    assert jnp.abs(finished - mean).max() > 0.01
