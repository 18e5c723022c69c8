"""Pictures per second that the input pipeline delivers, and how many chips they would feed.

python -m benchmarks.input --chips 8 --per_chip 4 --step_ms 60

The JPEGs are made for it. Pictures are those of both domains; CPU time is of all threads of the
process, so other work on the machine shows little in it. A host is taken to be as fast as its cores
together: nearly so from memory. Of what files cost, about a fifth, headers and copies, holds
Python's lock, and does not.
"""

import argparse
import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.config import fields
from ugatit_jax.data import datasets
from ugatit_jax.data.input_pipeline import train_batches


class Speed(NamedTuple):
    """Pictures, and the seconds that they took."""

    pictures: int
    wall: float
    cpu: float

    @property
    def per_core(self) -> float:
        """Pictures per second of CPU time."""
        return self.pictures / self.cpu


def measure(what: str, pictures: int, work: Callable[[], object]) -> Speed:
    """Time some work on so many pictures, and print it as a row of the table."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    speed = Speed(pictures, time.perf_counter() - wall, time.process_time() - cpu)
    print(f"| {what} | {pictures / speed.wall:.0f} | {speed.per_core:.0f} |", flush=True)
    return speed


def make_pictures(folder: Path, count: int, size: int) -> None:
    """Write JPEGs, half of them of each domain: noise with the spectrum of photos."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = 1
    for i in range(count):
        spectrum = np.fft.rfft2(rng.normal(size=(3, size, size))) / frequency
        spectrum[:, 0, 0] = 0
        pixels = np.fft.irfft2(spectrum, (size, size)).transpose(1, 2, 0)
        levels = (128 + 50 * pixels / pixels.std()).clip(0, 255).astype(np.uint8)
        file = folder / f"train{'AB'[i % 2]}" / f"{i}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(levels).save(file, quality=90)


def measure_decoding(domain: datasets.Domain, threads: int) -> None:
    """Measure reading and decoding alone, as before a training."""
    with ThreadPoolExecutor(threads) as pool:
        indices = range(len(domain))
        measure(
            f"decoding, threads: {threads}", len(domain), lambda: [*pool.map(domain.load, indices)]
        )


def take(batches: Iterator[object], count: int) -> None:
    """Wait for so many batches."""
    for _ in itertools.islice(batches, count):
        pass


def measure_batches(
    dataset: datasets.Dataset, config: ConfigDict, batch_size: int, seconds: float
) -> dict[str, Speed]:
    """Measure the stream of a training: its first pass through the pictures, and what follows."""
    streams = {"a": datasets.Stream(dataset.train_a), "b": datasets.Stream(dataset.train_b)}
    with contextlib.redirect_stdout(None):  # what it says would stand in the table
        batches = train_batches(streams, config.data, config.seed, batch_size)

    def measure_taking(where: str, count: int) -> Speed:
        name = f"batches of {batch_size}, from {where}"
        return measure(name, 2 * batch_size * count, lambda: take(batches, count))

    one_pass = -(-len(dataset.train_a) // batch_size)
    files = measure_taking("files", one_pass)
    since = time.perf_counter()
    take(batches, one_pass)
    passes = seconds / (time.perf_counter() - since)
    return {"files": files, "memory": measure_taking("memory", max(1, round(passes * one_pass)))}


def main() -> None:
    """Print a table in Markdown, and what it means for a host with accelerators."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--size", type=int, default=256, help="px, of files and of batches")
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[1, 4, 32])
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--cores", type=int, default=16, help="of the host, for what follows")
    parser.add_argument("--chips", type=int, default=8, help="that the host feeds")
    parser.add_argument("--per_chip", type=int, default=4, help="pictures per domain and step")
    parser.add_argument("--step_ms", type=float, default=60, help="see `ugatit_jax.plan`")
    flags = parser.parse_args()
    config = fields.get_config()
    config.data.image_size = flags.size, flags.size
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), flags.pictures, flags.size)
        config.data.source = folder
        dataset = datasets.open_dataset(config.data)
        bytes_ = np.mean([Path(file).stat().st_size for file in Path(folder).rglob("*.jpg")])
        print(f"{flags.pictures} JPEGs, {flags.size} px, {bytes_ / 1024:.0f} KiB each\n")
        print("| what | pictures/s | per second of CPU time |\n|---|---:|---:|")
        for threads in sorted({1, os.cpu_count() or 1}):
            measure_decoding(dataset.train_a, threads)
        for batch_size in flags.batch_sizes:
            speeds = measure_batches(dataset, config, batch_size, flags.seconds)
    eaten = 2 * flags.chips * flags.per_chip / (flags.step_ms / 1e3)
    print(
        f"\n{flags.chips} chips × {flags.per_chip} pictures per domain, {flags.step_ms:g} ms each:"
    )
    print(f"{eaten:.0f} pictures/s. {flags.cores} such cores deliver")
    for where, speed in speeds.items():
        rate = flags.cores * speed.per_core
        print(f"- from {where}: {rate:.0f} pictures/s, {rate / eaten:.1f} times that")


if __name__ == "__main__":
    main()
