"""The figures of a compiled training step: memory, arithmetic, exchanges. Kept on disk.

The step is the one that is trained with, compiled for devices that need not be here.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
from ml_collections import ConfigDict

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.data.storage import write_atomically
from ugatit_jax.planning.ahead import Optimized, optimize
from ugatit_jax.planning.collectives import Collective, find_collectives
from ugatit_jax.planning.hbm import count_hbm_bytes, find_counted
from ugatit_jax.planning.hlo import read_program
from ugatit_jax.planning.topology import Target
from ugatit_jax.planning.traced_step import Memory, trace_step

FORMAT = 5  # of what is kept; raise it when the figures change their meaning
BYTES_OF_CODE = 20_000  # per instruction for a TPU: 18 600 in the light step of 256 px
# "… required for HLO temporaries (16.58G) exceeds available HBM (15.75G)"; before: "Used … of …".
OUT_OF_MEMORY = (
    r"\(([\d.]+)([KMGT]?)\) exceeds available \w+ \(([\d.]+)([KMGT]?)\)",
    r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm",
)
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Figures:
    """What one training step takes on one chip; work and exchanges are None if it was refused."""

    chips: int
    memory: Memory
    flops: float  # of matrix products and convolutions
    # As XLA counts: all arithmetic, every loop's body once. Not for TPUs.
    compiler_flops: float | None = None
    hbm_bytes: int | None = None  # read and written in HBM; for TPUs, whose programs tell
    # As XLA counts: what kernels read and write, of whichever memory. Not for TPUs.
    xla_bytes: float | None = None
    collectives: list[Collective] = dataclasses.field(default_factory=list)
    loops_counted: bool = True
    compile_seconds: float = 0

    @property
    def memory_bytes(self) -> float | None:
        """The best that is known of the traffic between a chip and its memory."""
        return self.xla_bytes if self.hbm_bytes is None else self.hbm_bytes


def measure(config: ConfigDict, target: Target, say: Callable[[str], None]) -> Figures:
    """Return the figures of a (checked) config's step; compiles it, if it never was before.

    say: told, in one line, what takes a while.
    """
    step = trace_step(config, target)
    lowered = step.traced.lower()
    file = find_cache_dir() / "plan" / f"{_key(lowered.as_text(), target)}.json"
    if (kept := load_figures(file)) is not None:
        return kept

    say("compiling, which takes a minute or two…")
    since = time.monotonic()
    figures = Figures(step.devices, step.memory, step.flops)
    try:
        if target.is_tpu:
            figures = _with_optimized(figures, optimize(config, target))
        else:
            figures = _with_compiled(figures, lowered.compile())
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        needed = needed_memory(str(error))
        memory = dataclasses.replace(step.memory, total=needed, refused=True)
        figures = dataclasses.replace(figures, memory=memory)
    figures = dataclasses.replace(figures, compile_seconds=time.monotonic() - since)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(dataclasses.asdict(figures), indent=1) + "\n")
    return figures


def _with_optimized(figures: Figures, optimized: Optimized) -> Figures:
    """Return figures with those of a program for TPUs."""
    found, program = find_collectives(optimized.text), read_program(optimized.text)
    size = BYTES_OF_CODE * sum(len(each.instructions) for each in find_counted(program))
    return dataclasses.replace(
        figures,
        memory=dataclasses.replace(figures.memory, program=size, total=optimized.bytes + size),
        hbm_bytes=count_hbm_bytes(optimized.text),
        collectives=found.collectives,
        loops_counted=found.counted,
    )


def _with_compiled(figures: Figures, compiled: jax.stages.Compiled) -> Figures:
    """Return figures with those of a compiled program."""
    found = find_collectives(compiled.as_text() or "")
    costs = compiled.cost_analysis() or {}
    accessed, counted = costs.get("bytes accessed"), costs.get("flops")
    if found.has_loops and accessed and counted and figures.flops > counted:
        # XLA counts the body of a loop once. Its bytes are taken to repeat as its products do.
        accessed *= figures.flops / counted
    memory = figures.memory
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
    return dataclasses.replace(
        figures,
        memory=memory,
        compiler_flops=counted,
        xla_bytes=accessed,
        collectives=found.collectives,
        loops_counted=found.counted,
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
