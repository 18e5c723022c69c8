"""Devices: the mesh, and where the state and the batches lie on it."""

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


def place_state(state: T, mesh: Mesh) -> T:
    """Copy a tree of host or device arrays to every device."""
    return jax.device_put(state, replicated(mesh))


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Make the global batch of every process' share of it, split over the devices."""
    sharding = over_data(mesh)
    return {
        domain: jax.make_array_from_process_local_data(sharding, pictures)
        for domain, pictures in batch.items()
    }
