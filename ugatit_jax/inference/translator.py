"""A trained run's generators as a function from pictures to pictures."""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast, overload

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.storage import AnyPath, open_path
from ugatit_jax.devices.sharding import make_mesh, map_in_batches, over_data, replicated
from ugatit_jax.inference.fit import Fitted, check_mode, fit_picture
from ugatit_jax.methods.ugatit import translate
from ugatit_jax.models import build_generator
from ugatit_jax.runs.checkpoints import Step, restore_generators

DIRECTIONS = ("a2b", "b2a")
BATCH = 8  # pictures per call of the network on accelerators

Picture = np.ndarray | jax.Array | Image.Image
Pictures = Picture | Sequence[Picture]


@dataclass(frozen=True)
class Translated:
    """What became of a picture.

    picture: uint8 [h, w, 3], of the size that the fit says. heatmap: float32 [h', w'] of any range
    and about a quarter of the size, where the generator looked. cycle: uint8 [h, w, 3], translated
    on with the other generator, back into the first domain; None where it was not asked for.
    """

    picture: np.ndarray
    heatmap: np.ndarray
    cycle: np.ndarray | None = None


class Translator:
    """Both generators of a run, ready to translate pictures of any size.

    `config`, `step` and `params` {'a2b', 'b2a'} are those of the checkpoint; `image_size` is the
    (height, width) in px of the training. Batches are split over all local devices.

    Every method takes `fit`, how a picture is brought to the network: 'crop', as in training, gives
    pictures of `image_size`; 'stretch', 'pad', 'tile' and, with light generators, 'native' give
    them in their own size. `ugatit_jax.fit` says more.
    """

    def __init__(self, config: ConfigDict, step: int, params: dict[str, Any]) -> None:
        self.config = config
        self.step = step
        height, width = config.data.image_size
        self.image_size = (int(height), int(width))
        devices = jax.local_devices()
        self._all, self._first = make_mesh(devices), make_mesh(devices[:1])
        self._networks = {mesh: _compile(config, mesh) for mesh in (self._all, self._first)}
        # On a CPU eight pictures take as long together as one by one.
        self._batch_size = 1 if devices[0].platform == "cpu" else BATCH
        self.params = jax.device_put(params, replicated(self._all))

    @classmethod
    def load(cls, run_dir: str | AnyPath, step: Step = None) -> Self:
        """Read the newest checkpoint of a run directory, that of `step`, or the 'best'.

        It takes the generators alone, and their moving averages where there are any. Raises
        `InputError` where there is no such checkpoint.
        """
        return cls(*restore_generators(open_path(run_dir), step))

    @overload
    def __call__(
        self, pictures: Picture, direction: str = "a2b", fit: str = "crop"
    ) -> np.ndarray: ...

    @overload
    def __call__(
        self, pictures: Sequence[Picture], direction: str = "a2b", fit: str = "crop"
    ) -> list[np.ndarray]: ...

    def __call__(
        self, pictures: Pictures, direction: str = "a2b", fit: str = "crop"
    ) -> np.ndarray | list[np.ndarray]:
        """Translate one picture or several.

        pictures: a uint8 array [h, w, 3] (NumPy's or JAX's) or a Pillow image; or several, as an
        array [N, h, w, 3] or a list, which may mix kinds and sizes. Transparency is seen over
        white. Returns a uint8 array [H, W, 3] for one picture, an array [N, H, W, 3] for an array,
        a list of arrays for a list. Raises `InputError` for any other input, for a direction or a
        fit that there is not, and for a picture that is too large for the fit.
        """
        return self.with_attention(pictures, direction, fit)[0]

    def with_attention(
        self, pictures: Pictures, direction: str = "a2b", fit: str = "crop"
    ) -> tuple[Any, Any]:
        """Translate, and tell where the generator looked.

        As calling the translator, with a second result of the same form: heat maps of any range,
        float32 [H/4, W/4], rounded up, for `visualize.attention_overlay`.
        """
        self.check(direction, fit)
        single = _is_single(pictures)
        listed = cast(Any, [pictures] if single else pictures)
        fitted = [self.prepare(picture, fit) for picture in listed]
        results = list(self.translate(fitted, direction))
        found = [result.picture for result in results], [result.heatmap for result in results]
        if single:
            return found[0][0], found[1][0]
        if isinstance(pictures, Sequence):
            return found
        if not results:
            _to_array(pictures)  # which says what would do
        return np.stack(found[0]), np.stack(found[1])

    def check(self, direction: str, fit: str = "crop", cycle: bool = False) -> None:
        """Raise `InputError` if this is not what the generators can do."""
        if direction not in DIRECTIONS:
            raise InputError(f"no direction {direction!r}: choose {' or '.join(DIRECTIONS)}")
        for needed in DIRECTIONS if cycle else (direction,):
            if needed not in self.params:
                there = " and ".join(self.params)
                raise InputError(
                    f"these weights have no generator {needed}: they are of {there} alone"
                )
        check_mode(fit, self.config.model.light)

    def prepare(self, picture: Picture, fit: str = "crop") -> Fitted:
        """Fit one picture, as calling the translator takes it, for `translate`; in any thread."""
        return fit_picture(_to_array(picture), fit, self.image_size)

    def translate(
        self, fitted: Iterable[Fitted], direction: str = "a2b", cycle: bool = False
    ) -> Iterator[Translated]:
        """Translate any number of pictures that `prepare` made, taken as they are needed.

        cycle: translate back, too, from the translation before it is rounded to whole values.
        """
        back = DIRECTIONS[1 - DIRECTIONS.index(direction)]
        chosen = self.params[direction], self.params[back] if cycle else None
        for _, group in itertools.groupby(fitted, lambda one: one.tiles[0].shape):
            waiting: deque[Fitted] = deque()
            results = self._apply_to(chosen, _tiles(group, waiting))
            for first in results:
                one = waiting.popleft()
                yield _join(one, [first, *itertools.islice(results, len(one.tiles) - 1)])

    def _apply_to(self, params: Any, tiles: Iterator[np.ndarray]) -> Iterator[Any]:
        """Yield (picture, heat map, cycle or None) of every tile, the pictures in [-1, 1].

        At most two batch sizes are compiled: one for many tiles, and one for a single one.
        """
        ahead = list(itertools.islice(tiles, 2))
        mesh, batch_size = self._all, self._batch_size
        if len(ahead) < 2:
            mesh, batch_size = self._first, 1
        if mesh.size < self._all.size:
            params = jax.tree.map(lambda x: x.addressable_data(0), params)
        network = self._networks[mesh]

        def apply(params: tuple[Any, Any], batch: jax.Array) -> tuple[Any, ...]:
            there, back = params
            picture, heatmap = network(there, images.to_float(batch))
            return picture, heatmap, None if back is None else network(back, picture)[0]

        yield from map_in_batches(apply, params, itertools.chain(ahead, tiles), batch_size, mesh)


def _compile(config: ConfigDict, mesh: Mesh) -> Callable[[Any, jax.Array], Any]:
    """The network on a mesh: parameters and pictures in [-1, 1] to pictures and heat maps."""
    generator = build_generator(config)

    # Results lie as the pictures do: what translates back is the same program.
    @functools.partial(jax.jit, out_shardings=over_data(mesh))
    def network(params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        result = translate(generator, params, x)
        return result.image, result.heatmap

    return network


def _tiles(group: Iterable[Fitted], waiting: deque[Fitted]) -> Iterator[np.ndarray]:
    """Yield the tiles of pictures one after the other, and note the pictures that are begun."""
    for one in group:
        waiting.append(one)
        yield from one.tiles


def _join(one: Fitted, tiles: Sequence[Any]) -> Translated:
    pictures, heatmaps, cycles = zip(*tiles, strict=True)
    return Translated(
        one.join([images.to_uint8(picture) for picture in pictures]),
        one.join_heatmaps(heatmaps),
        None if cycles[0] is None else one.join([images.to_uint8(cycle) for cycle in cycles]),
    )


def _is_single(pictures: Any) -> bool:
    if isinstance(pictures, Image.Image):
        return True
    if isinstance(pictures, np.ndarray | jax.Array):
        return pictures.ndim != 4
    if isinstance(pictures, Sequence) and not isinstance(pictures, str | bytes):
        return False
    raise InputError(
        f"cannot translate a {type(pictures).__name__}: give an array, a Pillow image or a list"
    )


def _to_array(picture: Any) -> np.ndarray:
    """A single picture as uint8 [h, w, 3]."""
    if isinstance(picture, Image.Image):
        try:
            return images.from_pillow(picture)
        except OSError as error:
            raise InputError(f"cannot read {picture}: {error}; replace it") from error
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or array.size == 0:
        hint = ""
        if np.issubdtype(array.dtype, np.floating):
            hint = "; for floats in [0, 1] that is np.rint(255 * x).astype(np.uint8)"
        raise InputError(
            f"cannot translate an array of {array.dtype} {list(array.shape)}: give uint8 in "
            f"[0, 255] of shape [h, w, 3], or [N, h, w, 3] for several pictures{hint}"
        )
    return array
