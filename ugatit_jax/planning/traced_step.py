"""A training step before it is compiled: the one that is trained with, for any devices."""

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.config.records import load_config
from ugatit_jax.devices import sharding
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.planning.flops import count_traced
from ugatit_jax.planning.topology import Target, find_target
from ugatit_jax.training.step import compile_step, jit_train_step


@dataclass(frozen=True)
class Memory:
    """Bytes on one chip. `total` is None where the compiler refused and did not say."""

    parameters: int
    optimizer: int
    ema: int
    other_state: int  # singular vectors, the step
    program: int  # for TPUs an estimate, by BYTES_OF_CODE
    total: float | None
    refused: bool  # the compiler found no room for it

    @property
    def state(self) -> int:
        """All that stays from step to step."""
        return self.parameters + self.optimizer + self.ema + self.other_state

    @property
    def activations(self) -> float | None:
        """Activations, gradients and workspace: what is neither state nor program."""
        return None if self.total is None else max(self.total - self.state - self.program, 0)


class TracedStep(NamedTuple):
    """A training step, to be lowered and compiled."""

    traced: jax.stages.Traced
    state: TrainState  # abstract
    devices: int
    flops: float  # of a chip
    memory: Memory  # of the state


def trace_step(config: ConfigDict, target: Target) -> TracedStep:
    """Trace a (checked) config's step; of several phases, that with the most arithmetic."""
    method = build_method(config, mapped=True)
    mesh = sharding.training_mesh(method.split, config.mesh.model, target.devices)
    create = functools.partial(create_state, build_method(config), config.train, config.seed)
    state = jax.eval_shape(create)
    shape = (config.train.batch_size, *config.data.image_size, 3)
    batch = {name: jax.ShapeDtypeStruct(shape, np.uint8) for name in method.inputs}
    skip = config.on_nonfinite == "skip"
    of_phases = [
        jit_train_step(method, config.train, config.seed, mesh, phase, state, skip).trace(
            state, batch, method.fixed()
        )
        for phase in method.phases
    ]
    flops, traced = max(
        ((count_traced(traced), traced) for traced in of_phases), key=lambda pair: pair[0]
    )
    memory = _memory_of_state(state, sharding.shardings(mesh, state, method.split))
    return TracedStep(traced, state, mesh.size, flops / mesh.size, memory)


def _memory_of_state(state: TrainState, shardings: TrainState) -> Memory:
    def bytes_of(*names: str) -> int:
        return sum(
            int(np.prod(sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize
            for name in names
            for leaf, sharding in zip(
                jax.tree.leaves(getattr(state, name)),
                jax.tree.leaves(getattr(shardings, name)),
                strict=True,
            )
        )

    return Memory(
        parameters=bytes_of("params"),
        optimizer=bytes_of("optimizers"),
        ema=bytes_of("ema"),
        other_state=bytes_of("other", "step"),
        program=0,
        total=None,
        refused=False,
    )


def main(argv: Sequence[str]) -> None:
    """Compile the step of a config's file for a topology and a number of slices."""
    target = find_target(argv[1], int(argv[2]))
    config = load_config(Path(argv[0]))
    lowered = trace_step(config, target).traced.lower()
    compile_step(lowered, target.devices[0].platform, config.train.deterministic)


if __name__ == "__main__":
    main(sys.argv[1:])
