"""Devices: the mesh, and where the state and the batches lie on it.

Pictures are split over all devices, which are the two axes of the mesh together. Large parameters,
with their moments and averages, lie in shares on all devices, too (fully sharded data parallelism:
ZeRO-3, Rajbhandari et al. 2020): each updates its own and gets the others' where they are used.
Those that are `split` are shared by the devices along 'model' alone, and used where they lie. Of
all else every device has a copy.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.mesh_utils import create_hybrid_device_mesh
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike

T = TypeVar("T")
Split = Mapping[tuple[str, ...], int]  # {path of a parameter: its rows}, see `Method.split`

AXES = ("data", "model")
OF_PARAMETERS = ("params", "optimizers", "ema")  # of a state: what has their shapes
SMALLEST_SHARED = 2**16  # values; of less, a copy is cheaper than asking for it


def make_mesh(devices: Sequence[jax.Device] | None = None, model: int = 1) -> Mesh:
    """Return a mesh of all devices (or the given ones), `model` of them along 'model'."""
    devices = jax.devices() if devices is None else devices
    shape, auto = (len(devices) // count_slices(devices) // model, model), (AxisType.Auto,) * 2
    if count_slices(devices) == 1:
        return jax.make_mesh(shape, AXES, axis_types=auto, devices=devices)
    # Of several TPU slices, which JAX's own function does not take: one after the other.
    mesh = create_hybrid_device_mesh(shape, (count_slices(devices), 1), devices)
    return Mesh(mesh, AXES, axis_types=auto)


def training_mesh(split: Split, model: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return the mesh that is trained on; `model` 0: as many devices share as can.

    They are of one slice, whose devices talk fast.
    """
    devices = jax.devices() if devices is None else devices
    most = math.gcd(len(devices) // count_slices(devices), *split.values()) if split else 1
    return make_mesh(devices, model or most)


def count_slices(devices: Sequence[jax.Device]) -> int:
    """Return of how many TPU slices the devices are; 1 for any other kind."""
    return len({getattr(device, "slice_index", 0) for device in devices})


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device has a copy of."""
    return NamedSharding(mesh, P())


def over_data(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: its first axis is split over the devices."""
    return NamedSharding(mesh, P(AXES))


def partition(state: Any, split: Split, devices: int) -> Any:
    """Return how every array of a state lies on a mesh of so many devices: a tree of P.

    Moments and averages lie as their parameters do. On eight TPU v5e, the light network of 256 px
    moves 9.7 GB per step in shares, 12.4 with copies (docs/speed.md).
    """

    def spec(path: tuple[Any, ...], leaf: Any) -> P:
        names = tuple(getattr(entry, "key", getattr(entry, "name", None)) for entry in path)
        for group, *rest in split:
            if names[-len(rest) :] == tuple(rest) and group in names[: -len(rest)]:
                return P("model")
        of_parameters = names[0] in OF_PARAMETERS
        return share(leaf.shape, devices) if of_parameters else P()

    return jax.tree.map_with_path(spec, state)


def share(shape: tuple[int, ...], devices: int) -> P:
    """Return how an array of parameters lies: along its inputs, if it is large and they divide."""
    if devices == 1 or len(shape) < 2 or math.prod(shape) < SMALLEST_SHARED or shape[-2] % devices:
        return P()
    return P(*[None] * (len(shape) - 2), AXES)


def shardings(mesh: Mesh, state: Any, split: Split) -> Any:
    """Return the sharding of every array of a state, as `partition` says."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), partition(state, split, mesh.size))


def create_on(mesh: Mesh, create: Callable[[], T], split: Split | None = None) -> T:
    """Run a function of no arguments, and return the state that it made, where it belongs."""
    # It runs once: to optimise it takes five times as long as to compile it plainly.
    plainly = {"xla_backend_optimization_level": 0}
    places = shardings(mesh, jax.eval_shape(create), split or {})
    return jax.jit(create, out_shardings=places, compiler_options=plainly)()


# --- Inside `jax.shard_map` over both axes --------------------------------------------------------


def gather(tree: Any, places: Any, dtype: DTypeLike) -> Any:
    """Return parameters whole that lie in shares; in their own type, rounded to `dtype`.

    dtype: what they are computed with, which is what is sent.
    """

    def whole(x: jax.Array, place: P) -> jax.Array:
        if AXES not in place:
            return x
        axis = tuple(place).index(AXES)
        return jax.lax.all_gather(x.astype(dtype), AXES, axis=axis, tiled=True).astype(x.dtype)

    return jax.tree.map(whole, tree, places)


def mean_over_devices(tree: Any, places: Any) -> Any:
    """Average what each device computed of its pictures; a gradient's mean lies as its parameter.

    places: a tree of P, maybe a prefix of the tree. What is split along 'model' has the derivatives
    of all those devices' losses already.
    """

    def mean(place: P, x: jax.Array) -> jax.Array:
        devices = jax.lax.axis_size(AXES)
        if AXES in place:
            axis = tuple(place).index(AXES)
            return jax.lax.psum_scatter(x, AXES, scatter_dimension=axis, tiled=True) / devices
        # XLA does not see, on a CPU, that there is nothing to sum along an axis of one device.
        axes = [a for a in AXES if a not in place and jax.lax.axis_size(a) > 1]
        return (jax.lax.psum(x, axes) if axes else x) / devices

    def of_prefix(place: P, subtree: Any) -> Any:
        return jax.tree.map(functools.partial(mean, place), subtree)

    return jax.tree.map(of_prefix, places, tree)


def bound_norm(tree: Any, places: Any, bound: float) -> Any:
    """Shorten a gradient whose Euclidean norm, over all leaves and their shares, is above a bound.

    `optax.clip_by_global_norm` would take the norm of this device's shares.
    """

    def square(x: jax.Array, place: P) -> jax.Array:
        shared = next((axes for axes in (AXES, *AXES) if axes in place), ())
        return jax.lax.psum(jnp.square(x).sum(), shared) if shared else jnp.square(x).sum()

    norm = jnp.sqrt(sum(jax.tree.leaves(jax.tree.map(square, tree, places))))
    return jax.tree.map(lambda x: x * (bound / jnp.maximum(norm, bound)), tree)


def norms(trees: Mapping[str, tuple[Any, Any]]) -> dict[str, jax.Array]:
    """Return the Euclidean norm of each tree, {name: (tree, places)}, of all its leaves' shares.

    All of them in one exchange between devices; in none where nothing lies in shares.
    """
    whole: dict[str, jax.Array] = {}
    mine: dict[str, jax.Array] = {}
    for name, (tree, places) in trees.items():
        whole[name] = jnp.zeros(())
        for x, place in zip(jax.tree.leaves(tree), jax.tree.leaves(places), strict=True):
            # Not along the last axis first: there a CPU adds up one by one, here side by side.
            square = jnp.square(x).sum(tuple(range(x.ndim - 1))).sum()
            if AXES in place:
                mine[name] = mine.get(name, 0) + square
            elif "model" in place:  # each row of devices has the same
                mine[name] = mine.get(name, 0) + square / jax.lax.axis_size("data")
            else:
                whole[name] += square
    axes = [axis for axis in AXES if jax.lax.axis_size(axis) > 1]
    if mine and axes:
        mine = jax.lax.psum(mine, axes)
    return {name: jnp.sqrt(square + mine.get(name, 0)) for name, square in whole.items()}


def over_microbatches(function: Callable[[Any], T], batch: Any, count: int) -> T:
    """Return the mean of what `function` makes of `count` equal parts of a batch, one at a time.

    function: returns means over the pictures of a part, as losses and their gradients are.
    """
    if count == 1:
        return function(batch)
    parts = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], parts))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(part)), None

    total, _ = jax.lax.scan(add, zeros, parts)
    return jax.tree.map(lambda x: x / count, total)


def all_devices(tree: Any) -> Any:
    """Return all devices' pictures [N_global, …] of each one's share [N, …], in order."""
    return jax.tree.map(lambda x: jax.lax.all_gather(x, AXES, tiled=True), tree)


def this_device(tree: Any, count: int) -> Any:
    """Return this device's `count` pictures of all devices' [N_global, …]."""
    start = jax.lax.axis_index(AXES) * count
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, count), tree)


# --- Batches --------------------------------------------------------------------------------------


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Make the global batch of every process' share of it, split over the devices."""
    sharding = over_data(mesh)
    return {
        domain: jax.make_array_from_process_local_data(sharding, pictures)
        for domain, pictures in batch.items()
    }


def place(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Place an array that every process holds whole, each giving its devices their parts of it."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def map_in_batches(
    apply: Callable[[Any, Any], Any],
    params: Any,
    items: Iterable[Any],
    batch_size: int,
    mesh: Mesh,
) -> Iterator[Any]:
    """Yield, item by item and on the host, the results of `apply(params, batch)`.

    items: arrays of one shape, or trees of such, taken as they are needed. Each batch of
    `batch_size` (rounded up to what the devices can share) is split over the mesh; the last is
    filled with zeros, so that one shape is compiled. apply: returns arrays, replicated, whose first
    axis is the batch. With several processes, each passes all items and gets all results.
    """
    batch_size = -(-batch_size // mesh.size) * mesh.size
    remaining, before = iter(items), None
    while chunk := list(itertools.islice(remaining, batch_size)):
        fill = functools.partial(_fill, batch_size, over_data(mesh))
        now = apply(params, jax.tree.map(fill, *chunk)), len(chunk)
        if before is not None:  # the devices go on while the host takes what they have done
            yield from _unstack(*before)
        before = now
    if before is not None:
        yield from _unstack(*before)


def _fill(batch_size: int, sharding: NamedSharding, *items: np.ndarray) -> jax.Array:
    batch = np.zeros((batch_size, *items[0].shape), items[0].dtype)
    batch[: len(items)] = items
    return place(batch, sharding)


def _unstack(results: Any, count: int) -> Iterator[Any]:
    found = jax.device_get(results)
    return (jax.tree.map(lambda x, i=i: x[i], found) for i in range(count))
