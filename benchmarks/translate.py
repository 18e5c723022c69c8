"""Translating on this machine: from start to the first picture, and pictures per second.

    python -m benchmarks.translate
    python -m benchmarks.translate --model emoji --clock cpu --no-start

In turns: the translator, the bare network, and the same weights as ONNX files in onnxruntime, of
float32 and of int8, on as many threads. All take and return pictures of 8 bits but the bare
network; all take one picture after the other but that.
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks.timing.turns import CLOCKS, Run, measure
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import load_config, save_config
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.devices.runtime import forward_options, set_up_jax
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Method, weight_shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs.checkpoints import open_checkpoints, restore_weights, save
from ugatit_jax.runs.trained import model_argument

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


def time_start(model: AnyPath, size: int) -> tuple[float, float]:
    """Seconds of the whole command for one picture, without and with what the first run keeps."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    times = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        Image.fromarray(pixels).save(folder / "picture.png")
        command = [sys.executable, "-m", "ugatit_jax.translate"]
        command += [str(model), str(folder / "picture.png")]
        environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        environment |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
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


def onnx_runs(model: AnyPath, pictures: np.ndarray) -> dict[str, Run]:
    """Return what translates the pictures, [N, H, W, 3], one by one by onnxruntime; by its row."""
    import onnxruntime

    from ugatit_jax.inference.onnx_export import build_onnx
    from ugatit_jax.inference.onnx_int8 import to_int8

    config, _, weights = restore_weights(model)
    config.dtype = "float32"
    program = build_onnx(build_method(config), "a2b", weights["a2b"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    sessions = {
        f"onnxruntime, {dtype}": onnxruntime.InferenceSession(x.SerializeToString(), options)
        for dtype, x in (("float32", program), ("int8", to_int8(program, pictures[:4])))
    }

    def translate(session: Any) -> None:
        for picture in pictures:
            session.run(None, {"pictures": picture[None]})

    return {name: functools.partial(translate, session) for name, session in sessions.items()}


def bare_network(method: Method) -> Callable[..., Any]:
    """Return the translation a2b, (parameters, pictures) → …, as the program compiles it."""
    return jax.jit(
        functools.partial(method.translate, direction="a2b"),
        compiler_options=forward_options(jax.devices()[0]),
    )


def our_runs(model: AnyPath, pictures: np.ndarray) -> dict[str, Run]:
    """Return the translator, and the bare network with batches of up to eight; by their rows."""
    translator = Translator.load(model)
    method = build_method(load_config(model / "config.json"))
    network = bare_network(method)
    params = jax.tree.map(lambda x: x.addressable_data(0), translator.weights["a2b"])
    batches = [
        jnp.asarray(pictures[i : i + 8], jnp.float32) / 127.5 - 1
        for i in range(0, len(pictures), 8)
    ]

    def bare() -> None:
        for batch in batches:
            jax.block_until_ready(network(params, batch))

    return {
        "translator": lambda: translator(pictures),
        "bare network, batches of 8": bare,
    }


def rows_of(times: dict[str, np.ndarray], count: int) -> Iterator[str]:
    """Yield rows of the table: medians with extremes, and medians of ratios within a round."""
    first = next(iter(times.values()))
    for name, seconds in times.items():
        median, least, most = np.array([np.median(seconds), seconds.min(), seconds.max()]) / count
        ratio = np.median(first / seconds)
        yield f"| {name}, per picture | {median:.3f} s ({least:.3f}–{most:.3f}) | {ratio:.2f} |"


def main() -> None:
    """Print the measurements as a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", choices=("light", "full"), default="light")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument(
        "--model", type=model_argument, help="a run or emoji; default: random weights as above"
    )
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="of pictures, not of starts"
    )
    parser.add_argument("--start", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    set_up_jax()
    with tempfile.TemporaryDirectory() as temporary:
        model = args.model or Path(temporary)
        if not args.model:
            make_run(Path(temporary), args.variant, args.size, args.width)
        config = load_config(model / "config.json")
        height, width = config.data.image_size
        starts = time_start(model, height) if args.start else ()
        shape = args.pictures, height, width, 3
        pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        runs = our_runs(model, pictures) | onnx_runs(model, pictures)
        times = measure(runs, args.rounds, CLOCKS[args.clock], before=1)
    device, light = jax.devices()[0].device_kind, "light" if config.model.light else "full"
    about = f"{light}, {height} px, width {config.model.base_width}, {args.clock} time"
    threads = f"{len(os.sched_getaffinity(0))} threads"
    print(f"{about}, {jax.device_count()} × {device}, {threads}\n")
    print("| what | time | translator's time / its |\n|---|---|---:|")
    for what, seconds in zip(("nothing compiled", "compiled before"), starts, strict=False):
        print(f"| start to first picture written, {what} | {seconds:.1f} s | |")
    print(*rows_of(times, args.pictures), sep="\n")


if __name__ == "__main__":
    main()
