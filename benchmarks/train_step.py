"""The whole training step: time, FLOPs and memory, over variants and batch sizes. No TensorFlow.

python -m benchmarks.train_step --size 256 --variants light full --batch_sizes 1 4 8
"""

import argparse
import math
import time
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.timing.step import set_up_step
from ugatit_jax.config import fields
from ugatit_jax.console.errors import exit_on_input_error
from ugatit_jax.devices.runtime import keep_freed_memory
from ugatit_jax.models import compute_dtype


class Cost(NamedTuple):
    """What a training step takes; NaN for what the compiler does not say."""

    seconds: float  # median
    flops: float  # as the compiler counts
    bytes: float  # arguments and temporaries
    compile_seconds: float


def measure(config: ConfigDict, steps: int) -> Cost:
    """Compile the step of a config, and do it once and then `steps` times."""
    run, (state, *others) = set_up_step(config)
    since = time.perf_counter()
    step = run.lower(state, *others).compile()
    compiled = time.perf_counter() - since
    costs, memory = step.cost_analysis() or {}, step.memory_analysis()
    flops = costs.get("flops", math.nan)
    bytes_ = memory.argument_size_in_bytes + memory.temp_size_in_bytes if memory else math.nan
    state, metrics = step(state, *others)
    times = []
    for _ in range(steps):
        jax.block_until_ready(metrics)
        since = time.perf_counter()
        state, metrics = step(state, *others)
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - since)
    return Cost(float(np.median(times)), flops, bytes_, compiled)


def configure(variant: str, size: int, width: int, batch_size: int, dtype: str) -> ConfigDict:
    """Return the config of a variant, `light` or `full`; size: in px."""
    config = fields.get_config(variant.replace("full", ""))
    config.data.image_size, config.model.base_width = (size, size), width
    config.train.batch_size, config.dtype = batch_size, dtype
    return config


@exit_on_input_error
def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--variants", nargs="+", default=["light", "full"])
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[1])
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--steps", type=int, default=20)
    flags = parser.parse_args()
    keep_freed_memory()  # as every command does
    kinds = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    print(f"{jax.device_count()} × {kinds}, jax {jax.__version__}, {flags.size} px, ", end="")
    print(f"width {flags.width}, median of {flags.steps} steps\n")
    print(
        "| variant | batch | dtype | ms/step | images/s | GFLOP/step | TFLOP/s | GiB | compile s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for variant in flags.variants:
        for batch_size in flags.batch_sizes:
            config = configure(variant, flags.size, flags.width, batch_size, flags.dtype)
            cost = measure(config, flags.steps)
            print(
                f"| {variant} | {batch_size} | {np.dtype(compute_dtype(config.dtype)).name} "
                f"| {cost.seconds * 1e3:.1f} | {2 * batch_size / cost.seconds:.1f} "
                f"| {cost.flops / 1e9:.0f} | {cost.flops / cost.seconds / 1e12:.2f} "
                f"| {cost.bytes / 2**30:.1f} | {cost.compile_seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
