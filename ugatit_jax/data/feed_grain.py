"""Batches by Grain, whose threads load ahead, where TensorFlow is not installed."""

import sys
from collections.abc import Callable, Generator, Mapping

import grain
import numpy as np


def batches(
    load: Callable[[int], Mapping[str, np.ndarray]],
    streams: Mapping[str, tuple[int, ...]],
    first: int,
    size: int,
) -> Generator[dict[str, np.ndarray]]:
    """Yield what `load` returns of number `first` and on, `size` of them stacked, without end.

    streams: shape of the uint8 array of each name. Raises what `load` raises.
    """
    del streams  # Grain asks the arrays themselves
    numbers = grain.MapDataset.range(first, sys.maxsize)
    ahead = grain.ReadOptions(num_threads=16, prefetch_buffer_size=max(16, 2 * size))
    yield from numbers.map(load).to_iter_dataset(ahead).batch(size, drop_remainder=True)
