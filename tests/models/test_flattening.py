"""The filter of what a generator changes, against the formula pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np

from ugatit_jax.models.flattening import OF_INPUT, OF_TRANSLATION, flatten


def plain(change: np.ndarray, picture: np.ndarray, radius: int) -> np.ndarray:
    """The joint bilateral filter of one picture [H, W, 3], in float64, as its equation says."""
    height, width, _ = change.shape
    shown = np.clip(picture + change, -1, 1)
    result = np.empty(change.shape)
    for i in range(height):
        for j in range(width):
            near = np.s_[max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1]
            of_input = ((picture[near] - picture[i, j]) ** 2).sum(-1) / OF_INPUT**2
            of_shown = ((shown[near] - shown[i, j]) ** 2).sum(-1) / OF_TRANSLATION**2
            weights = np.exp(-(of_input + of_shown) / 2)
            result[i, j] = (weights[..., None] * change[near]).sum((0, 1)) / weights.sum()
    return result


def drawing(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a few near colours, and changes of them with noise and values out of range."""
    rng = np.random.default_rng(seed)
    pictures = rng.choice([-0.9, 0.3, 0.4, 0.5], shape) + rng.normal(0, 0.02, shape)
    return pictures.astype(np.float32), rng.normal(0, 0.5, shape).astype(np.float32)


def test_flatten_is_the_joint_bilateral_filter() -> None:
    pictures, changes = drawing(0, (2, 8, 11, 3))
    found = jax.jit(flatten, static_argnums=2)(changes, pictures, 3)
    expected = [plain(*pair, 3) for pair in zip(changes, pictures, strict=True)]
    assert np.abs(expected - changes).max() > 0.1  # there was something to average
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_fill_becomes_flat_and_its_edges_stay_where_they_are() -> None:
    pictures = np.ones((1, 16, 16, 3), np.float32)
    pictures[:, 4:, :8] = -0.6
    moved = np.where(pictures > 0, 0, np.float32([0.5, 0.2, -0.1]))
    noise = np.random.default_rng(1).normal(0, 2 / 127.5, pictures.shape).astype(np.float32)
    found = flatten(jnp.asarray(moved + noise), pictures, 5) - moved
    assert np.abs(found).max() < np.abs(noise).max() / 3
    assert found.std() < noise.std() / 5
