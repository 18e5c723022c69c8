"""Batches by tf.data, whose threads load ahead."""

from collections.abc import Callable, Generator, Mapping

import numpy as np

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.host_tensorflow import tf


def batches(
    load: Callable[[int], Mapping[str, np.ndarray]],
    streams: Mapping[str, tuple[int, ...]],
    first: int,
    size: int,
) -> Generator[dict[str, np.ndarray]]:
    """Yield what `load` returns of number `first` and on, `size` of them stacked, without end.

    streams: shape of the uint8 array of each name. Raises what `load` raises.
    """
    errors: list[InputError] = []

    def arrays(number: np.ndarray) -> list[np.ndarray]:
        try:
            loaded = load(int(number))
        except InputError as error:
            errors.append(error)
            raise
        return [loaded[name] for name in streams]

    def tensors(number: tf.Tensor) -> dict[str, tf.Tensor]:
        loaded = tf.numpy_function(arrays, [number], [tf.uint8] * len(streams), stateful=False)
        return {
            name: tf.ensure_shape(tensor, shape)
            for (name, shape), tensor in zip(streams.items(), loaded, strict=True)
        }

    numbers = tf.data.Dataset.range(first, tf.int64.max)
    each = numbers.map(tensors, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    together = each.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    try:
        yield from together.as_numpy_iterator()
    except tf.errors.OpError as error:
        # TensorFlow passes errors on as text with a stack trace.
        raise (errors[0] if errors else error) from None
