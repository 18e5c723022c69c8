"""The training step that the benchmarks run: the program's own, with a state and a batch."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.config.checks import check_config
from ugatit_jax.devices import sharding
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import create_state
from ugatit_jax.training.step import jit_train_step


class Step(NamedTuple):
    """A jitted step, (state, batch, fixed) → (state, metrics), and its first arguments."""

    run: jax.stages.Wrapped
    arguments: tuple[Any, ...]


def set_up_step(
    config: ConfigDict, devices: Sequence[jax.Device] | None = None, phase: str = ""
) -> Step:
    """Return the step of a phase, the last if none is named, on all devices or these, with noise.

    Raises `InputError` for a config that cannot be trained with.
    """
    devices = jax.devices() if devices is None else devices
    method = check_config(config, len(devices))
    mesh = sharding.training_mesh(method.split, config.mesh.model, devices)
    create = functools.partial(create_state, build_method(config), config.train, config.seed)
    state = sharding.create_on(mesh, create, method.split)
    rng = np.random.default_rng(0)
    shape = (config.train.batch_size, *config.data.image_size, 3)
    pictures = {name: rng.integers(0, 256, shape, np.uint8) for name in method.inputs}
    batch = sharding.place_batch(pictures, mesh)
    step = jit_train_step(
        method, config.train, config.seed, mesh, phase or method.phases[-1], state
    )
    return Step(step, (state, batch, method.fixed()))
