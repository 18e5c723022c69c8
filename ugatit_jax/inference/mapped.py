"""A method's translation over all devices of a mesh: for sample grids, KID, and `Translator`."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from ugatit_jax.data import images
from ugatit_jax.devices.runtime import forward_options
from ugatit_jax.devices.sharding import (
    AXES,
    gather,
    map_in_batches,
    over_data,
    partition,
    replicated,
)
from ugatit_jax.methods.method import Method
from ugatit_jax.methods.state import TrainState

BATCH = 8  # pictures per call of the network, where one at a time would leave devices idle


def places_of(method: Method, state: TrainState, mesh: Mesh) -> dict[str, Any]:
    """Return how each direction's weights lie in a training, {direction: tree of P}."""
    places = partition(state, method.split, mesh.size).best(method)
    return {way: method.select(places, way) for way in method.directions}


def draw_style(method: Method, seed: int, number: int) -> np.ndarray:
    """Return the style of the picture of a number, 0 or more: N(0, 1), float32 [style_size]."""
    return np.random.default_rng((seed, number)).standard_normal(method.style_size, np.float32)


class MappedTranslation:
    """`translate` and `encode_style` of a method, compiled once for a direction and a shape.

    Each device has its share of the pictures. method: a mapped one. places: how each direction's
    weights lie; None: every device has all.
    """

    def __init__(self, method: Method, mesh: Mesh, places: Mapping[str, Any] | None = None) -> None:
        self._method, self._mesh = method, mesh
        # Results lie as the pictures do: what translates back is the same program.
        compiled = functools.partial(
            jax.jit,
            static_argnames="direction",
            out_shardings=over_data(mesh),
            compiler_options=forward_options(mesh.devices.flat[0]),
        )

        def mapped(function: Callable[..., Any], direction: str, weights: Any, *arrays: Any) -> Any:
            places_here = places[direction] if places else jax.tree.map(lambda _: P(), weights)

            def of_whole(shares: Any, *arrays: Any) -> Any:
                return function(gather(shares, places_here, method.dtype), *arrays)

            return jax.shard_map(
                of_whole,
                mesh=mesh,
                in_specs=(places_here, *(P(AXES) for _ in arrays)),
                out_specs=P(AXES),
                check_vma=False,  # every array that comes out is of this device's pictures
            )(weights, *arrays)

        @compiled
        def translate(weights: Any, pictures: Any, styles: Any, direction: str) -> Any:
            def one_share(weights: Any, pictures: Any, styles: Any) -> Any:
                return method.translate(weights, pictures, direction, styles)

            # A method without styles has vectors of length 0.
            return mapped(one_share, direction, weights, _floats(pictures), styles)

        @compiled
        def encode(weights: Any, pictures: Any, direction: str) -> Any:
            def one_share(weights: Any, pictures: Any) -> Any:
                return method.encode_style(weights, pictures, direction)

            return mapped(one_share, direction, weights, _floats(pictures))

        self._translate, self._encode = translate, encode
        self._everywhere = jax.jit(lambda x: x, out_shardings=replicated(mesh))

    def __call__(
        self, weights: Any, pictures: jax.Array, styles: jax.Array, direction: str
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Translate a batch that lies on the mesh, uint8 or float in [-1, 1], as the method does.

        styles: [N, style_size]; method.style_size is 0 for a method without.
        """
        return self._translate(weights, pictures, styles, direction)

    def encode_style(self, weights: Any, pictures: jax.Array, direction: str) -> jax.Array:
        """Return the styles of a batch that lies on the mesh, as `Method.encode_style` does."""
        return self._encode(weights, pictures, direction)

    def of_items(
        self,
        weights: Any,
        pictures: Iterable[np.ndarray],
        direction: str,
        styles: Iterable[np.ndarray] | None = None,
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield the translation of each picture, float [H, W, 3] in [-1, 1], and its looks.

        pictures: uint8 or float [H, W, 3] of one size, on the host. styles: of each, float32
        [style_size]; None: drawn by its place and seed 0. With several processes, each passes all
        pictures and gets all translations.
        """
        if styles is None:
            styles = (draw_style(self._method, 0, i) for i in itertools.count())
        # Floats from either kind, so that one program serves both.
        floats = (images.to_float(x) if x.dtype == np.uint8 else x for x in pictures)

        def apply(weights: Any, batch: Any) -> Any:
            pictures, styles = batch
            return self._everywhere(self(weights, pictures, styles, direction))

        yield from map_in_batches(
            apply, weights, zip(floats, styles, strict=False), BATCH, self._mesh
        )

    def styles_of_items(
        self, weights: Any, pictures: Iterable[np.ndarray], direction: str
    ) -> Iterator[np.ndarray]:
        """Yield the style of each picture of the target domain, float32 [style_size].

        pictures: as for `of_items`.
        """

        def apply(weights: Any, batch: Any) -> Any:
            return self._everywhere(self.encode_style(weights, batch, direction))

        yield from map_in_batches(apply, weights, pictures, BATCH, self._mesh)


def _floats(pictures: jax.Array) -> jax.Array:
    return images.to_float(pictures) if pictures.dtype == jnp.uint8 else pictures
