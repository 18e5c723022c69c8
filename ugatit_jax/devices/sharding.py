"""Devices: the mesh, and where the state and the batches lie on it.

Pictures are split over all devices, which are the two axes of the mesh together. Every device has
a copy of the parameters, but for those of `SPLIT`: the devices along the axis 'model' share them.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.mesh_utils import create_hybrid_device_mesh
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from ugatit_jax.models import first_dense_rows

T = TypeVar("T")

AXES = ("data", "model")
# The end of a parameter's path, and how it lies on the mesh. So do its Adam moments and average. To
# split the others' moments over all devices, too (ZeRO-1), would save 0.9 GiB on eight TPU v5e, of
# 5.8 that a full network takes there and 15.75 that there are: it does not pay.
SPLIT = {("mlp", "fc_0", "kernel"): P("model")}


def make_mesh(devices: Sequence[jax.Device] | None = None, model: int = 1) -> Mesh:
    """Return a mesh of all devices (or the given ones), `model` of them along 'model'."""
    devices = jax.devices() if devices is None else devices
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    shape, auto = (len(devices) // slices // model, model), (AxisType.Auto,) * 2
    if slices == 1:
        return jax.make_mesh(shape, AXES, axis_types=auto, devices=devices)
    # Of several TPU slices, which JAX's own function does not take: one after the other.
    return Mesh(create_hybrid_device_mesh(shape, (slices, 1), devices), AXES, axis_types=auto)


def training_mesh(config: ConfigDict, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return the mesh that a (checked) config is trained on."""
    devices = jax.devices() if devices is None else devices
    return make_mesh(devices, config.mesh.model or _most_along_model(config, devices))


def _most_along_model(config: ConfigDict, devices: Sequence[jax.Device]) -> int:
    """As many devices as can share the first dense layer, of one slice: they talk fast."""
    if config.model.light:
        return 1
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    return math.gcd(len(devices) // slices, first_dense_rows(config))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device has a copy of."""
    return NamedSharding(mesh, P())


def over_data(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: its first axis is split over the devices."""
    return NamedSharding(mesh, P(AXES))


def partition(state: Any) -> Any:
    """Return how every array of a state, or of a part of it, lies on the mesh: a tree of P."""

    def spec(path: tuple[Any, ...], _: Any) -> P:
        names = tuple(getattr(entry, "key", None) for entry in path)
        return next((p for end, p in SPLIT.items() if names[-len(end) :] == end), P())

    return jax.tree.map_with_path(spec, state)


def shardings(mesh: Mesh, state: Any) -> Any:
    """Return the sharding of every array of a state, or of a part of it."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), partition(state))


def create_on(mesh: Mesh, create: Callable[[], T]) -> T:
    """Run a function of no arguments, and return the state that it made, where it belongs."""
    # It runs once: to optimise it takes five times as long as to compile it plainly.
    plainly = {"xla_backend_optimization_level": 0}
    places = shardings(mesh, jax.eval_shape(create))
    return jax.jit(create, out_shardings=places, compiler_options=plainly)()


def map_over_devices(
    apply: Callable[[Any, jax.Array], Any], mesh: Mesh
) -> Callable[[Any, jax.Array], Any]:
    """Return `apply(params, batch)`, jitted, each device with pictures of its own.

    params: as `create_on` placed them. apply: sees a device's share of them and of the batch, and
    returns arrays whose first axis is the batch; they are replicated in the end.
    """

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def on_all(params: Any, batch: jax.Array) -> Any:
        mapped = jax.shard_map(
            apply, mesh=mesh, in_specs=(partition(params), P(AXES)), out_specs=P(AXES)
        )
        return mapped(params, batch)

    return on_all


# --- Inside `jax.shard_map` over both axes --------------------------------------------------------


def mean_over_devices(tree: Any) -> Any:
    """Average what each device computed of its pictures; a gradient's mean lies as in `partition`.

    What is shared along 'model' has the derivatives of all those devices' losses already.
    """

    def mean(x: jax.Array, spec: P) -> jax.Array:
        # XLA does not see, on a CPU, that there is nothing to sum along an axis of one device.
        axes = [a for a in AXES if a not in spec and jax.lax.axis_size(a) > 1]
        return (jax.lax.psum(x, axes) if axes else x) / jax.lax.axis_size(AXES)

    return jax.tree.map(mean, tree, partition(tree))


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
    apply: Callable[[Any, jax.Array], Any],
    params: Any,
    items: Iterable[np.ndarray],
    batch_size: int,
    mesh: Mesh,
) -> Iterator[Any]:
    """Yield, item by item and on the host, the results of `apply(params, batch)`.

    items: arrays of one shape, taken as they are needed. Each batch of `batch_size` (rounded up to
    what the devices can share) is split over the mesh; the last is filled with zeros, so that one
    shape is compiled. apply: returns arrays, replicated, whose first axis is the batch. With
    several processes, each passes all items and gets all results.
    """
    batch_size = -(-batch_size // mesh.size) * mesh.size
    remaining, before = iter(items), None
    while chunk := list(itertools.islice(remaining, batch_size)):
        batch = np.zeros((batch_size, *chunk[0].shape), chunk[0].dtype)
        batch[: len(chunk)] = chunk
        now = apply(params, place(batch, over_data(mesh))), len(chunk)
        if before is not None:  # the devices go on while the host takes what they have done
            yield from _unstack(*before)
        before = now
    if before is not None:
        yield from _unstack(*before)


def _unstack(results: Any, count: int) -> Iterator[Any]:
    found = jax.device_get(results)
    return (jax.tree.map(lambda x, i=i: x[i], found) for i in range(count))
