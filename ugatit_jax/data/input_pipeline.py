"""Unpaired streams of training pictures, a function of (seed, step) and of nothing else."""

import atexit
import weakref
from collections.abc import Generator, Iterator, Mapping

import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Domain, Stream
from ugatit_jax.data.host_tensorflow import tf


def train_batches(
    streams: Mapping[str, Stream],
    data: ConfigDict,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    quiet: bool = False,
) -> Generator[dict[str, np.ndarray]]:
    """Batches {stream: pictures} for steps `start_step`, `start_step` + 1, … without end.

    data: the config's section. All pictures are uint8 [batch_size / process_count, height, width,
    3], the process' contiguous share of the global batch. Each stream is shuffled anew for every
    pass through its domain. A picture is flipped, resized and cropped as in the paper. A stream
    does not depend on where it starts, nor on how many processes share it. quiet: nothing is said
    of the memory that pictures take. Raises `InputError` for a batch that processes cannot share,
    and for a picture that cannot be read any more, when its turn comes.
    """
    if batch_size % process_count:
        raise InputError(
            f"config.train.batch_size is {batch_size}, which {process_count} processes cannot "
            f"share evenly: choose a multiple of {process_count}"
        )
    height, width = data.image_size
    load_size = round(data.load_scale * height), round(data.load_scale * width)
    domains = [stream.pictures for stream in streams.values()]
    cached = _fits_in_cache(
        domains, load_size, data.cache_gib, say=process_index == 0 and not quiet
    )
    loaders = {name: _Loader(stream, load_size, cached) for name, stream in streams.items()}
    share = batch_size // process_count

    def batches_of(place: int, loader: _Loader) -> tf.data.Dataset:
        # Two streams of one seed, and further ones of the next: the shuffle of a few pictures looks
        # at a seed's last bits alone.
        number, stream_seed = place % 2, seed + place // 2

        def picture(local: tf.Tensor) -> tf.Tensor:
            step, row = local // share, local % share
            i = step * batch_size + process_index * share + row
            index = _shuffled(i, len(loader.domain), stream_seed, number)
            loaded = tf.numpy_function(loader.load, [index], tf.uint8, stateful=False)
            loaded.set_shape((*load_size, 3))
            key = tf.stack([tf.constant(stream_seed, tf.int64), 2 * i + number])
            return _augment(loaded, key, (height, width), data.flip)

        counter = tf.data.Dataset.range(start_step * share, tf.int64.max)
        pictures = counter.map(picture, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return pictures.batch(share, drop_remainder=True)

    each = {name: batches_of(i, loader) for i, (name, loader) in enumerate(loaders.items())}
    together = tf.data.Dataset.zip(each).prefetch(tf.data.AUTOTUNE)
    batches = _named_errors(together.as_numpy_iterator(), [*loaders.values()])
    _close_at_exit(batches)
    return batches


def _close_at_exit(batches: Generator[dict[str, np.ndarray]]) -> None:
    """Stop the threads that load ahead: Python hangs if one asks for it while it shuts down."""
    reference = weakref.ref(batches)

    def close() -> None:
        if (alive := reference()) is not None:
            alive.close()

    atexit.register(close)


def _shuffled(i: tf.Tensor, count: int, seed: int, number: int) -> tf.Tensor:
    """Index of picture `i` of an endless stream in which each pass is a permutation of its own."""
    key = tf.stack([tf.constant(seed, tf.int64), 2 * (i // count) + number])
    return tf.random.experimental.index_shuffle(i % count, seed=key, max_index=count - 1)


def _augment(picture: tf.Tensor, key: tf.Tensor, size: tuple[int, int], flip: bool) -> tf.Tensor:
    # The paper flips before it resizes; a mirrored picture is resized to the mirrored result.
    heads, y, x = tf.unstack(tf.random.stateless_uniform([3], key, alg="philox"))
    if flip:
        picture = tf.cond(heads < 0.5, lambda: tf.reverse(picture, [1]), lambda: picture)
    height, width = size
    top = tf.cast(y * (picture.shape[0] - height + 1), tf.int32)
    left = tf.cast(x * (picture.shape[1] - width + 1), tf.int32)
    return tf.image.crop_to_bounding_box(picture, top, left, height, width)


def _fits_in_cache(
    domains: list[Domain], load_size: tuple[int, int], cache_gib: float, say: bool
) -> bool:
    gib = sum(map(len, domains)) * load_size[0] * load_size[1] * 3 / 2**30
    fits = gib <= cache_gib
    if say:
        print(
            f"decoded training pictures take {gib:.2f} GiB: {'kept' if fits else 'not kept'} in "
            f"memory (config.data.cache_gib is {cache_gib:.2f})",
            flush=True,
        )
    return fits


class _Loader:
    """Reads a stream's pictures at the size they are cropped from, each once if `cached`."""

    def __init__(self, stream: Stream, load_size: tuple[int, int], cached: bool):
        self.domain, self._prepare = stream.pictures, stream.prepare
        self.error: InputError | None = None
        self._load_size = load_size
        count = len(self.domain) if cached else 0
        self._pictures = np.empty((count, *load_size, 3), np.uint8)
        self._is_loaded = np.zeros(count, bool)

    def load(self, index: int) -> np.ndarray:
        if self._is_loaded.size and self._is_loaded[index]:
            return self._pictures[index]
        try:
            picture = images.cover_resize(self.domain.load(index), self._load_size)
        except InputError as error:
            self.error = error
            raise
        if self._prepare is not None:
            picture = self._prepare(picture)
        if self._is_loaded.size:
            self._pictures[index] = picture
            self._is_loaded[index] = True
        return picture


def _named_errors(
    batches: Iterator[dict[str, np.ndarray]], loaders: list[_Loader]
) -> Generator[dict[str, np.ndarray]]:
    """TensorFlow passes errors on as text with a stack trace; raise the loader's own instead."""
    try:
        yield from batches
    except tf.errors.OpError as error:
        raise next((loader.error for loader in loaders if loader.error), error) from None
