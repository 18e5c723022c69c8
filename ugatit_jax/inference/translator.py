"""A trained run's networks as a function from pictures to pictures."""

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast, overload

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.devices.sharding import make_mesh, map_in_batches, over_data, replicated
from ugatit_jax.inference.fit import Fitted, check_mode, fit_alpha, fit_picture
from ugatit_jax.inference.mapped import BATCH, MappedTranslation, draw_style
from ugatit_jax.methods import build_method
from ugatit_jax.methods.directions import BACK
from ugatit_jax.methods.method import Method
from ugatit_jax.models import DTYPES, SHIFTS
from ugatit_jax.runs.checkpoints import restore_weights
from ugatit_jax.runs.steps import Step
from ugatit_jax.runs.trained import open_model

Picture = np.ndarray | jax.Array | Image.Image
Pictures = Picture | Sequence[Picture]


@dataclass(frozen=True)
class Translated:
    """What became of a picture.

    picture: uint8 [h, w, 3], of the size that the fit says. looks: what the method shows beside it,
    such as 'attention', where U-GAT-IT's generator looked: float32 [h', w'] of any range, a quarter
    of the size or all of it. cycle: uint8 [h, w, 3], translated on, back into the first domain;
    None where it was not asked for. alpha: uint8 [h, w], the opacity that the picture came with;
    None for an opaque one.
    """

    picture: np.ndarray
    looks: dict[str, np.ndarray]
    cycle: np.ndarray | None = None
    alpha: np.ndarray | None = None

    @property
    def image(self) -> Image.Image:
        """The translation as a Pillow image, as transparent as the picture was."""
        image = Image.fromarray(self.picture)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(self.alpha))
        return image

    @property
    def heatmap(self) -> np.ndarray:
        """The first of the looks, of a method that has any."""
        return next(iter(self.looks.values()))


class Translator:
    """A run's trained networks, ready to translate pictures of any size.

    `step` and `weights` {'a2b', 'b2a'} are those of the checkpoint; `image_size` is the (height,
    width) in px of the training. Batches are split over all local devices.

    Every method takes `fit`, how a picture is brought to the network: 'crop', as in training, gives
    pictures of `image_size`; 'stretch', 'pad', 'tile' and, with networks that take any size,
    'native' give them in their own size. `ugatit_jax.inference.fit` says more.
    """

    def __init__(
        self,
        method: Method,
        step: int,
        weights: dict[str, Any],
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        """`method` is a mapped one; `weights` may be of one direction alone.

        devices: what to split batches over; None: all local ones.
        """
        self.method, self.step, self.image_size = method, step, method.image_size
        devices = jax.local_devices() if devices is None else devices
        self._all, self._first = make_mesh(devices), make_mesh(devices[:1])
        self._networks = {
            mesh: MappedTranslation(method, mesh) for mesh in (self._all, self._first)
        }
        # On a CPU eight pictures take as long together as one by one.
        self._batch_size = 1 if devices[0].platform == "cpu" else BATCH
        self.weights = jax.device_put(weights, replicated(self._all))

    @classmethod
    def load(
        cls,
        run_dir: str | AnyPath,
        step: Step = None,
        dtype: str = "auto",
        devices: Sequence[jax.Device] | None = None,
        shifts: int | None = None,
    ) -> Self:
        """Read the newest checkpoint of a run directory or an export, that of `step`, or 'best'.

        'emoji' is the model that comes with the program. It takes what translates alone, and its
        moving average where there is one. dtype: of the inputs of convolutions, 'float32' or
        'bfloat16'; 'auto': the config's. devices: what to split batches over; None: all local ones.
        shifts: the field `model.shifts`; None: the config's. Raises `InputError` where there is no
        such checkpoint, and for a method without shifts.
        """
        if dtype not in ("auto", *DTYPES):
            raise InputError(f"no dtype {dtype!r}: choose auto, {' or '.join(DTYPES)}")
        config, step, weights = restore_weights(open_model(run_dir), step)
        if dtype != "auto":
            config.dtype = dtype
        if shifts is not None:
            if "shifts" not in config.model or shifts not in SHIFTS:
                said = f"shifts={shifts!r} of {config.method}"
                raise InputError(f"{said}: 1, 2 or 4, of ugatit alone")
            config.model.shifts = shifts
        return cls(build_method(config, mapped=True), step, weights, devices)

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
        results = self._results(pictures, direction, fit)
        return _in_the_form_of(pictures, [result.picture for result in results])

    @overload
    def details(
        self,
        pictures: Picture,
        direction: str = "a2b",
        fit: str = "crop",
        *,
        cycle: bool = False,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> Translated: ...

    @overload
    def details(
        self,
        pictures: Sequence[Picture],
        direction: str = "a2b",
        fit: str = "crop",
        *,
        cycle: bool = False,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Translated]: ...

    def details(
        self,
        pictures: Pictures,
        direction: str = "a2b",
        fit: str = "crop",
        *,
        cycle: bool = False,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> Translated | list[Translated]:
        """Translate one picture or several, and return all that there is to see of each.

        pictures, direction, fit and errors are as for calling the translator. cycle: translate
        back, too. For a method that has styles: style: [style_size], of all pictures, as
        `encode_style` returns it; None: each picture has one of its own, drawn by the seed.
        """
        results = self._results(pictures, direction, fit, cycle, seed, style)
        return results[0] if _is_single(pictures) else results

    @overload
    def with_attention(
        self, pictures: Picture, direction: str = "a2b", fit: str = "crop"
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @overload
    def with_attention(
        self, pictures: Sequence[Picture], direction: str = "a2b", fit: str = "crop"
    ) -> tuple[list[np.ndarray], list[np.ndarray]]: ...

    def with_attention(
        self, pictures: Pictures, direction: str = "a2b", fit: str = "crop"
    ) -> tuple[Any, Any]:
        """Translate, and tell where the generator looked.

        As calling the translator, with a second result of the same form: heat maps of any range,
        float32 [H/4, W/4], rounded up, for `visualize.attention_overlay`. Raises `InputError` for a
        method that has none.
        """
        if not self.method.looks:
            raise InputError("these generators have no attention to show")
        results = self._results(pictures, direction, fit)
        translated = _in_the_form_of(pictures, [result.picture for result in results])
        return translated, _in_the_form_of(pictures, [result.heatmap for result in results])

    def encode_style(self, picture: Picture, direction: str = "a2b") -> np.ndarray:
        """Return the style of a picture of the direction's target domain, float32 [style_size].

        picture: as for calling the translator; it is cut as in training. Raises `InputError` for a
        method that encodes no styles.
        """
        self.check(direction)
        self.check_styles(encoded=True)
        weights, mesh = self._on(self._first), self._first
        pictures = jax.device_put(self.prepare(picture).tiles[0][None], over_data(mesh))
        found = self._networks[mesh].encode_style(weights[direction], pictures, direction)
        return np.asarray(found[0])

    def _results(
        self,
        pictures: Pictures,
        direction: str,
        fit: str,
        cycle: bool = False,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Translated]:
        self.check(direction, fit, cycle)
        if style is not None:
            self.check_styles()
        listed = cast(Any, [pictures] if _is_single(pictures) else pictures)
        arrays, alphas = [], []
        for picture in listed:
            array, alpha = _to_arrays(picture)
            arrays.append(fit_picture(array, fit, self.image_size))
            alphas.append(None if alpha is None else fit_alpha(alpha, fit, self.image_size))
        results = self.translate(arrays, direction, cycle, seed, style)
        return [
            dataclasses.replace(result, alpha=alpha)
            for result, alpha in zip(results, alphas, strict=True)
        ]

    def check(self, direction: str, fit: str = "crop", cycle: bool = False) -> None:
        """Raise `InputError` if this is not what the networks can do."""
        known = self.method.directions
        if direction not in known:
            raise InputError(f"no direction {direction!r}: choose {' or '.join(known)}")
        if cycle and BACK[direction] not in known:
            raise InputError(f"there is no way back from {direction}: leave out the cycle")
        for needed in (direction, BACK[direction]) if cycle else (direction,):
            if needed not in self.weights:
                there = " and ".join(self.weights)
                raise InputError(
                    f"these weights have no generator {needed}: they are of {there} alone"
                )
        check_mode(fit, self.method.any_size)

    def check_styles(self, encoded: bool = False) -> None:
        """Raise `InputError` for a method without styles; or that encodes none, if it has to."""
        if not self.method.style_size:
            raise InputError("these networks have no styles: leave the style out")
        if encoded and not self.method.encodes_styles:
            raise InputError("these networks cannot tell a picture's style: take random ones")

    def prepare(self, picture: Picture, fit: str = "crop") -> Fitted:
        """Fit one picture, as calling the translator takes it, for `translate`; in any thread."""
        return fit_picture(_to_arrays(picture)[0], fit, self.image_size)

    def translate(
        self,
        fitted: Iterable[Fitted],
        direction: str = "a2b",
        cycle: bool = False,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> Iterator[Translated]:
        """Translate any number of pictures that `prepare` made, taken as they are needed.

        cycle: translate back, too, from the translation before it is rounded to whole values; in
        the style that the picture (or each of its tiles) had, if the method encodes styles. seed
        and style: as for `details`.
        """
        ways = (direction, BACK[direction]) if cycle else (direction,)
        count = itertools.count()
        for _, group in itertools.groupby(fitted, lambda one: one.tiles[0].shape):
            waiting: deque[Fitted] = deque()
            results = self._apply_to(ways, self._tiles(group, waiting, count, seed, style))
            for first in results:
                one = waiting.popleft()
                yield _join(one, [first, *itertools.islice(results, len(one.tiles) - 1)])

    def _tiles(
        self,
        group: Iterable[Fitted],
        waiting: deque[Fitted],
        count: Iterator[int],
        seed: int,
        style: np.ndarray | None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield tiles and their pictures' styles, and note the pictures that are begun."""
        for one in group:
            waiting.append(one)
            place = next(count)
            number = place if one.number is None else one.number
            drawn = draw_style(self.method, seed, number) if style is None else style
            for tile in one.tiles:
                yield tile, np.asarray(drawn, np.float32)

    def _apply_to(
        self, ways: tuple[str, ...], tiles: Iterator[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[Any]:
        """Yield (picture, looks, cycle or None) of every tile, the pictures in [-1, 1].

        At most two batch sizes are compiled: one for many tiles, and one for a single one.
        """
        ahead = list(itertools.islice(tiles, 2))
        mesh, batch_size = (self._first, 1) if len(ahead) < 2 else (self._all, self._batch_size)
        network, (there, *back) = self._networks[mesh], ways

        def apply(weights: Any, batch: tuple[jax.Array, jax.Array]) -> tuple[Any, ...]:
            pictures, styles = batch
            # Floats, as what translates back is given: one program serves both.
            floats = images.to_float(pictures)
            picture, looks = network(weights[there], floats, styles, there)
            cycle = None
            for way in back:
                if self.method.encodes_styles:
                    styles = network.encode_style(weights[way], floats, way)
                cycle, _ = network(weights[way], picture, styles, way)
            return picture, looks, cycle

        weights = self._on(mesh)
        yield from map_in_batches(apply, weights, itertools.chain(ahead, tiles), batch_size, mesh)

    def _on(self, mesh: Mesh) -> dict[str, Any]:
        """The weights as they lie on all devices, or on the first."""
        if mesh.size == self._all.size:
            return self.weights
        return jax.tree.map(lambda x: x.addressable_data(0), self.weights)


def _join(one: Fitted, tiles: Sequence[Any]) -> Translated:
    pictures, looks, cycles = zip(*tiles, strict=True)
    return Translated(
        one.join([images.to_uint8(picture) for picture in pictures]),
        {name: one.join_heatmaps([of_tile[name] for of_tile in looks]) for name in looks[0]},
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


def _in_the_form_of(pictures: Pictures, results: list[np.ndarray]) -> Any:
    """One result for one picture, a list for a list, an array [N, …] for an array."""
    if _is_single(pictures):
        return results[0]
    if isinstance(pictures, Sequence):
        return results
    if not results:
        _to_arrays(pictures)  # which says what would do
    return np.stack(results)


def _to_arrays(picture: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """A single picture as uint8 [h, w, 3], and its opacity, uint8 [h, w], if it is not opaque."""
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
    return array, None
