"""Unpaired streams of training pictures, a function of (seed, step) and of nothing else."""

import atexit
import weakref
from collections.abc import Callable, Generator, Mapping

import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.console.extras import is_installed
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Domain, Stream
from ugatit_jax.data.order import permutation, uniform


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
    sources = {
        name: _Source(stream, number, seed, load_size, cached, data)
        for number, (name, stream) in enumerate(streams.items())
    }
    share = batch_size // process_count

    def load(number: int) -> dict[str, np.ndarray]:
        step, row = divmod(number, share)
        place = step * batch_size + process_index * share + row
        return {name: source.picture(place) for name, source in sources.items()}

    shapes = {name: (height, width, 3) for name in streams}
    batches = _feed()(load, shapes, start_step * share, share)
    _close_at_exit(batches)
    return batches


def _feed() -> Callable[..., Generator[dict[str, np.ndarray]]]:
    """Return what loads ahead: Grain where there is no TensorFlow, which takes long to import."""
    if not is_installed("tensorflow"):
        from ugatit_jax.data import feed_grain

        return feed_grain.batches
    from ugatit_jax.data import feed_tensorflow

    return feed_tensorflow.batches


def _close_at_exit(batches: Generator[dict[str, np.ndarray]]) -> None:
    """Stop the threads that load ahead: Python hangs if one asks for it while it shuts down."""
    reference = weakref.ref(batches)

    def close() -> None:
        if (alive := reference()) is not None:
            alive.close()

    atexit.register(close)


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


class _Source:
    """An endless stream of a domain's pictures, shuffled, flipped and cropped."""

    def __init__(
        self,
        stream: Stream,
        number: int,
        seed: int,
        load_size: tuple[int, int],
        cached: bool,
        data: ConfigDict,
    ):
        """number: which of the streams it is. cached: each picture is read once."""
        self._domain, self._prepare = stream.pictures, stream.prepare
        # Two streams of one seed, and further ones of the next: the shuffle of a few pictures looks
        # at a seed's last bits alone.
        self._number, self._seed = number % 2, seed + number // 2
        self._load_size, self._size, self._flip = load_size, data.image_size, data.flip
        count = len(self._domain) if cached else 0
        self._pictures = np.empty((count, *load_size, 3), np.uint8)
        self._is_loaded = np.zeros(count, bool)

    def picture(self, place: int) -> np.ndarray:
        """Return the picture of a place in the stream; each pass is a permutation of its own."""
        count = len(self._domain)
        turn, index = divmod(place, count)
        order = permutation(count, (self._seed, 2 * turn + self._number))
        heads, y, x, _ = uniform((self._seed, 2 * place + self._number))
        picture = self._load(int(order[index]))
        # The paper flips before it resizes; a mirrored picture is resized to the mirrored result.
        if self._flip and heads < 0.5:
            picture = picture[:, ::-1]
        height, width = self._size
        top = int(y * np.float32(picture.shape[0] - height + 1))
        left = int(x * np.float32(picture.shape[1] - width + 1))
        return np.ascontiguousarray(picture[top : top + height, left : left + width])

    def _load(self, index: int) -> np.ndarray:
        """Return a picture at the size that it is cropped from."""
        if self._is_loaded.size and self._is_loaded[index]:
            return self._pictures[index]
        picture = images.cover_resize(self._domain.load(index), self._load_size)
        if self._prepare is not None:
            picture = self._prepare(picture)
        if self._is_loaded.size:
            self._pictures[index] = picture
            self._is_loaded[index] = True
        return picture
