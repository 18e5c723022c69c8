"""The figures of a compiled training step: memory, arithmetic, exchanges. Kept on disk.

The step is the one that is trained with, compiled for devices that need not be here.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.data.storage import write_atomically
from ugatit_jax.devices import sharding
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.planning.collectives import Collective, find_collectives
from ugatit_jax.planning.flops import count_traced
from ugatit_jax.planning.hbm import count_hbm_bytes
from ugatit_jax.planning.topology import Target
from ugatit_jax.training.step import jit_train_step

FORMAT = 3  # of what is kept; raise it when the figures change their meaning
# "… required for HLO temporaries (16.58G) exceeds available HBM (15.75G)"; before: "Used … of …".
OUT_OF_MEMORY = (
    r"\(([\d.]+)([KMGT]?)\) exceeds available \w+ \(([\d.]+)([KMGT]?)\)",
    r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm",
)
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Memory:
    """Bytes on one chip. `total` is None where the compiler refused and did not say."""

    parameters: int
    optimizer: int
    ema: int
    other_state: int  # singular vectors, the step
    program: int
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


@dataclass(frozen=True)
class Figures:
    """What one training step takes on one chip; work and exchanges are None if it was refused."""

    chips: int
    memory: Memory
    flops: float  # of matrix products and convolutions
    compiler_flops: float | None  # as XLA counts: all arithmetic, every loop's body once
    hbm_bytes: int | None  # read and written in HBM; None where the program does not tell: no TPU
    xla_bytes: float | None  # as XLA counts: what kernels read and write, of whichever memory
    collectives: list[Collective]
    loops_counted: bool
    compile_seconds: float

    @property
    def memory_bytes(self) -> float | None:
        """The best that is known of the traffic between a chip and its memory."""
        return self.xla_bytes if self.hbm_bytes is None else self.hbm_bytes


def measure(config: ConfigDict, target: Target, say: Callable[[str], None]) -> Figures:
    """Return the figures of a (checked) config's step; compiles it, if it never was before.

    Of a method with several phases, that with the most arithmetic. say: told, in one line, what
    takes minutes.
    """
    method = build_method(config, mapped=True)
    mesh = sharding.training_mesh(method.split, config.mesh.model, target.devices)
    create = functools.partial(create_state, build_method(config), config.train, config.seed)
    state = jax.eval_shape(create)
    shape = (config.train.batch_size, *config.data.image_size, 3)
    batch = {name: jax.ShapeDtypeStruct(shape, np.uint8) for name in method.inputs}
    of_phases = [
        jit_train_step(method, config.train, config.seed, mesh, phase, state).trace(
            state, batch, method.fixed()
        )
        for phase in method.phases
    ]
    traced = max(of_phases, key=count_traced)
    lowered = traced.lower()
    file = find_cache_dir() / "plan" / f"{_key(lowered.as_text(), target)}.json"
    if (kept := load_figures(file)) is not None:
        return kept

    if target.is_tpu:  # what JAX keeps of such a program, it cannot read without a TPU
        jax.config.update("jax_enable_compilation_cache", False)
    say("compiling, which takes minutes…")
    since = time.monotonic()
    memory = _memory_of_state(state, sharding.shardings(mesh, state, method.split))
    flops = count_traced(traced) / mesh.size
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        memory = dataclasses.replace(memory, total=needed_memory(str(error)), refused=True)
        figures = Figures(mesh.size, memory, flops, None, None, None, [], True, 0)
    else:
        figures = _figures(compiled, target, memory, flops)
    figures = dataclasses.replace(figures, compile_seconds=time.monotonic() - since)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(dataclasses.asdict(figures), indent=1) + "\n")
    return figures


def _figures(compiled: Any, target: Target, memory: Memory, flops: float) -> Figures:
    text = compiled.as_text()
    found = find_collectives(text)
    costs = compiled.cost_analysis() or {}
    accessed, counted = costs.get("bytes accessed"), costs.get("flops")
    if found.has_loops and accessed and counted and flops > counted:
        # XLA counts the body of a loop once. Its bytes are taken to repeat as its products do.
        accessed *= flops / counted
    in_hbm = count_hbm_bytes(text) if target.is_tpu else None
    if statistics := compiled.memory_analysis():
        program = statistics.generated_code_size_in_bytes
        total = (
            statistics.argument_size_in_bytes
            + statistics.output_size_in_bytes
            - statistics.alias_size_in_bytes
            + statistics.temp_size_in_bytes
            + program
        )
        memory = dataclasses.replace(memory, program=program, total=total)
    return Figures(
        chips=len(target.devices),
        memory=memory,
        flops=flops,
        compiler_flops=counted,
        hbm_bytes=in_hbm,
        xla_bytes=None if target.is_tpu else accessed,
        collectives=found.collectives,
        loops_counted=found.counted,
        compile_seconds=0,
    )


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


def needed_memory(message: str) -> float | None:
    """Return the bytes that a compiler's refusal says it would have needed."""
    for pattern in OUT_OF_MEMORY:
        if match := re.search(pattern, message):
            return float(match[1]) * UNITS[match[2]]
    return None


def _key(program: str, target: Target) -> str:
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib")]
    if target.is_tpu:
        versions.append(importlib.metadata.version("libtpu"))
    where = [target.topology, target.slices, target.devices[0].device_kind]
    described = json.dumps([FORMAT, versions, where, program])
    return hashlib.sha256(described.encode()).hexdigest()


def load_figures(file: Path) -> Figures | None:
    """Read what `measure` kept; None if there is nothing, or nothing that can be read."""
    try:
        fields = json.loads(file.read_text())
        fields["memory"] = Memory(**fields["memory"])
        fields["collectives"] = [Collective(**each) for each in fields["collectives"]]
        return Figures(**fields)
    except (OSError, ValueError, KeyError, TypeError):
        return None
