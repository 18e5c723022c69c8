"""Devices: the mesh, and where the state and the batches lie on it."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

T = TypeVar("T")


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """Return a mesh with one axis, 'data', over all devices (or the given ones)."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


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
