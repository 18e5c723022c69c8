"""Orders and crops are TensorFlow's own numbers: those of runs that began when it drew them."""

import numpy as np
import pytest

from ugatit_jax.data.host_tensorflow import tf
from ugatit_jax.data.order import permutation, uniform

SEEDS = [(0, 0), (0, 1), (7, 2), (123456, 3_000_001), (2**31 - 1, 2**33 + 5)]


@tf.function(reduce_retracing=True)
def shuffled(indices: tf.Tensor, seed: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    def of_one(index: tf.Tensor) -> tf.Tensor:
        return tf.random.experimental.index_shuffle(index, seed=seed, max_index=last)

    return tf.map_fn(of_one, indices)


# 65 538 is the smallest for which a block of 16 bits has no room in TensorFlow, either.
@pytest.mark.parametrize("count", [1, 2, 3, 5, 100, 257, 3400, 65_536, 65_538])
def test_a_pass_is_shuffled_as_by_tensorflow(count: int) -> None:
    some = np.unique(np.linspace(0, count - 1, 50, dtype=np.int64))
    for seed in SEEDS:
        found = permutation(count, seed)
        theirs = shuffled(
            tf.constant(some), tf.constant(seed, tf.int64), tf.constant(count - 1, tf.int64)
        )
        np.testing.assert_array_equal(found[some], theirs)
        np.testing.assert_array_equal(np.sort(found), np.arange(count))


def test_no_picture_is_forgotten_where_tensorflow_forgets_one() -> None:
    np.testing.assert_array_equal(np.sort(permutation(65_537, (0, 1))), np.arange(65_537))


@pytest.mark.parametrize("seed", [*SEEDS, (-1, -(2**40))])
def test_draws_are_tensorflows(seed: tuple[int, int]) -> None:
    theirs = tf.random.stateless_uniform([3], tf.constant(seed, tf.int64), alg="philox")
    np.testing.assert_array_equal(uniform(seed)[:3], theirs)
