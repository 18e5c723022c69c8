"""Translating on this machine: from start to the first picture, and pictures per second.

python -m benchmarks.translate
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import load_config, save_config
from ugatit_jax.devices.runtime import set_up_jax
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import weight_shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs.checkpoints import open_checkpoints, save

ROOT = Path(__file__).parents[1]


def make_run(folder: Path, variant: str, size: int, width: int) -> None:
    """Write a run directory with random generators and nothing else."""
    config = get_config(variant.replace("full", ""))
    config.data.image_size, config.model.base_width = (size, size), width
    method, rng = build_method(config), np.random.default_rng(0)
    generators = {
        direction: jax.tree.map(
            lambda x: rng.normal(scale=0.02, size=x.shape).astype(np.float32),
            weight_shapes(method, direction),
        )
        for direction in method.directions
    }
    state = TrainState(jnp.asarray(1), {"generators": generators}, {}, {}, ema=None)
    save_config(config, folder / "config.json")
    with open_checkpoints(folder, config.checkpoint) as checkpoints:
        save(checkpoints, method, state)


def time_start(folder: Path, size: int) -> tuple[float, float]:
    """Seconds of the whole command for one picture, without and with what the first run keeps."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    command = [sys.executable, "-m", "ugatit_jax.translate"]
    command += [str(folder), str(folder / "picture.png")]
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    times = []
    for out in ("cold", "warm"):
        since = time.perf_counter()
        subprocess.run(
            [*command, "--out", str(folder / out)],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - since)
    return times[0], times[1]


def time_pictures(folder: Path, size: int, count: int) -> tuple[float, float]:
    """Seconds per picture of the translator, and of the bare network with batches of eight."""
    translator = Translator.load(folder)
    pictures = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    method = build_method(load_config(folder / "config.json"))
    network: Any = jax.jit(functools.partial(method.translate, direction="a2b"))
    params = jax.tree.map(lambda x: x.addressable_data(0), translator.weights["a2b"])
    batch = jnp.asarray(pictures[:8], jnp.float32) / 127.5 - 1
    translator(pictures[:2]), jax.block_until_ready(network(params, batch))
    ours, bare = [], []
    for _ in range(3):
        since = time.perf_counter()
        translator(pictures)
        ours.append((time.perf_counter() - since) / count)
        since = time.perf_counter()
        jax.block_until_ready(network(params, batch))
        bare.append((time.perf_counter() - since) / len(batch))
    return float(np.median(ours)), float(np.median(bare))


def main() -> None:
    """Print the measurements as a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("light", "full"), default="light")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=8)
    args = parser.parse_args()
    set_up_jax()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_run(folder, args.variant, args.size, args.width)
        cold, warm = time_start(folder, args.size)
        ours, bare = time_pictures(folder, args.size, args.pictures)
    device = jax.devices()[0].device_kind
    print(f"{args.variant}, {args.size} px, width {args.width}, {jax.device_count()} × {device}\n")
    print("| what | time |\n|---|---|")
    print(f"| start to first picture written, nothing compiled | {cold:.1f} s |")
    print(f"| start to first picture written, compiled before | {warm:.1f} s |")
    print(f"| translator, per picture | {ours:.3f} s ({1 / ours:.2f} pictures/s) |")
    print(f"| bare network, batches of 8, per picture | {bare:.3f} s; ratio {bare / ours:.2f} |")


if __name__ == "__main__":
    main()
