"""What the training loop makes of a config before its first step, piece by piece."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from ugatit_jax.data import datasets
from ugatit_jax.devices import sharding
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.training.loop import TrainSteps
from ugatit_jax.training.step import make_train_step


def creator(config: ConfigDict) -> Callable[[], TrainState]:
    """A function that returns the state before the first step."""
    return functools.partial(create_state, build_method(config), config.train, config.seed)


def mesh_of(config: ConfigDict, devices: Sequence[jax.Device] | None = None) -> Mesh:
    return sharding.training_mesh(build_method(config).split, config.mesh.model, devices)


def first_state(config: ConfigDict, mesh: Mesh) -> TrainState:
    return sharding.create_on(mesh, creator(config), build_method(config).split)


def plain_step(config: ConfigDict) -> Callable[..., tuple[TrainState, Any]]:
    """The training step on one device, to be jitted."""
    method, mesh = build_method(config, mapped=True), sharding.make_mesh(jax.devices()[:1])
    return make_train_step(method, config.train, config.seed, mesh, "train")


def compile_step(
    config: ConfigDict, mesh: Mesh, state: TrainState, batch: Any
) -> jax.stages.Compiled:
    """The loop's step: (state, batch, ()) → (state, metrics)."""
    steps = TrainSteps(build_method(config, mapped=True), config.train, config.seed, mesh)
    return steps.compile("train", state, batch)


def batches_of(config: ConfigDict) -> Iterator[dict[str, np.ndarray]]:
    """The batches of a config's training, all processes' together."""
    from ugatit_jax.data import input_pipeline  # imports TensorFlow

    dataset = datasets.open_dataset(config.data)
    streams = {"a": datasets.Stream(dataset.train_a), "b": datasets.Stream(dataset.train_b)}
    return input_pipeline.train_batches(streams, config.data, config.seed, config.train.batch_size)
