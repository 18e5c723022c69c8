"""Devices: the mesh, and where the state and the batches lie on it."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental.mesh_utils import create_hybrid_device_mesh
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

T = TypeVar("T")


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """Return a mesh with one axis, 'data', over all devices (or the given ones), slice by slice."""
    devices = jax.devices() if devices is None else devices
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    auto = (AxisType.Auto,)
    if slices == 1:
        return jax.make_mesh((len(devices),), ("data",), axis_types=auto, devices=devices)
    arranged = create_hybrid_device_mesh((len(devices) // slices,), (slices,), devices)
    return Mesh(arranged, ("data",), axis_types=auto)


def training_mesh(config: ConfigDict, devices: list[jax.Device] | None = None) -> Mesh:
    """Return the mesh that a (checked) config is trained on."""
    return make_mesh(devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of the state: a copy on every device."""
    return NamedSharding(mesh, P())


def over_data(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: its first axis is split over the devices."""
    return NamedSharding(mesh, P("data"))


def create_on(mesh: Mesh, create: Callable[[], T]) -> T:
    """Run a function of no arguments on every device, and return what it made, replicated."""
    # It runs once: to optimise it takes five times as long as to compile it plainly.
    plainly = {"xla_backend_optimization_level": 0}
    return jax.jit(create, out_shardings=replicated(mesh), compiler_options=plainly)()


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
