"""What loads ahead: tf.data, and Grain in its place."""

import itertools
import threading
import time
from collections.abc import Callable, Generator
from types import ModuleType

import numpy as np
import pytest

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import feed_grain, feed_tensorflow

SHAPES = {"a": (2, 3, 3), "b": (1, 1, 3)}
Batches = Generator[dict[str, np.ndarray]]
Load = Callable[[int], dict[str, np.ndarray]]


def numbered(number: int) -> dict[str, np.ndarray]:
    time.sleep(0.002 * (number % 3))  # later ones are ready earlier
    return {name: np.full(shape, number % 256, np.uint8) for name, shape in SHAPES.items()}


def gone_at_9(number: int) -> dict[str, np.ndarray]:
    if number == 9:
        raise InputError("9.png: No such file or directory")
    return numbered(number)


@pytest.fixture(params=[feed_tensorflow, feed_grain])
def feed(request: pytest.FixtureRequest) -> Callable[[Load, int, int], Batches]:
    module: ModuleType = request.param
    return lambda load, first, size: module.batches(load, SHAPES, first, size)


def test_batches_come_in_order(feed: Callable[[Load, int, int], Batches]) -> None:
    for first, size in ((0, 1), (5, 3), (10**9, 2)):
        for i, batch in enumerate(itertools.islice(feed(numbered, first, size), 10)):
            numbers = np.arange(first + i * size, first + (i + 1) * size) % 256
            for name, shape in SHAPES.items():
                assert batch[name].dtype == np.uint8 and batch[name].shape == (size, *shape)
                np.testing.assert_array_equal(batch[name][:, 0, 0, 0], numbers)


def test_errors_are_those_of_what_loads(feed: Callable[[Load, int, int], Batches]) -> None:
    batches = feed(gone_at_9, 0, 1)
    with pytest.raises(InputError, match=r"9\.png: No such file"):
        for _ in range(20):
            next(batches)


def test_nothing_goes_on_when_it_is_closed(feed: Callable[[Load, int, int], Batches]) -> None:
    loaded: list[int] = []

    def load(number: int) -> dict[str, np.ndarray]:
        loaded.append(number)
        return numbered(number)

    batches = feed(load, 0, 1)
    next(batches)
    batches.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        before = len(loaded)
        time.sleep(0.3)
        if len(loaded) == before:
            break
    assert len(loaded) == before < 1000
    assert threading.active_count() < 100
