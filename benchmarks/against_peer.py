"""Ours against PyTorch, in one process and in turns: the training step, and translating.

python -m benchmarks.against_peer --shapes 128:32 64:24:1 --rounds 10

Both are light networks, one picture. The peer (peers/torch_peer.py) runs as its users would begin,
and in better forms with the same results. It needs a quiet machine: PyTorch's threads wait for each
other, and beside other work it looks ten times as slow. On a busy one compare the CPU time of one
core:

taskset -c 0 python -m benchmarks.against_peer --clock cpu
"""

import argparse
import functools
import os
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from ml_collections import ConfigDict
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.torch_peer import COMPILED, EAGER, PLAIN, Form, Peer
from benchmarks.timing.step import set_up_step
from benchmarks.timing.turns import CLOCKS, Run, measure
from benchmarks.translate import bare_network
from ugatit_jax.config import fields
from ugatit_jax.console.errors import exit_on_input_error
from ugatit_jax.devices.runtime import forward_options, set_up_jax
from ugatit_jax.methods import build_method
from ugatit_jax.models import compute_dtype, minimum_size

SIDE = 2048  # of the matrices whose product is the machine's rate


class Shape(NamedTuple):
    """Of pictures and networks."""

    size: int
    width: int
    blocks: int = 4

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """Return the shape of 'SIZE:WIDTH' or 'SIZE:WIDTH:BLOCKS'."""
        return cls(*map(int, text.split(":")))

    @property
    def layers(self) -> tuple[int, int]:
        """The discriminators' depths, local and global: the paper's, or less for small pictures."""
        depth = max(n for n in range(5, 8) if n == 5 or minimum_size(n) <= self.size)
        return depth - 2, depth


def config_of(shape: Shape) -> ConfigDict:
    """Return the config of our light networks."""
    config = fields.get_config("light")
    config.data.image_size = (shape.size, shape.size)
    config.model.base_width, config.model.residual_blocks = shape.width, shape.blocks
    config.model.local_layers, config.model.global_layers = shape.layers
    return config


def pictures_of(shape: Shape) -> dict[str, np.ndarray]:
    """Return a batch of noise."""
    rng = np.random.default_rng(0)
    return {d: rng.integers(0, 256, (1, shape.size, shape.size, 3), np.uint8) for d in "ab"}


def our_step(shape: Shape) -> Run:
    """Return our training step, as the program compiles it."""
    step, (state, *others) = set_up_step(config_of(shape), jax.devices()[:1])

    def run() -> Any:
        nonlocal state
        state, metrics = step(state, *others)
        return jax.block_until_ready((state, metrics))

    return run


def our_translation(shape: Shape) -> Run:
    """Return our generator's forward pass."""
    method: Any = build_method(config_of(shape))
    x = jnp.asarray(pictures_of(shape)["a"], jnp.float32) / 127.5 - 1
    params = jax.jit(method.generator.init)(jax.random.key(0), x)["params"]
    network = bare_network(method)
    return lambda: jax.block_until_ready(network(params, x))


def wait_for(device: str) -> None:
    """Wait until PyTorch's device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def peer_step(shape: Shape, form: Form, device: str) -> Run:
    """Return the peer's training step."""
    peer = Peer(light=True, **shape._asdict(), layers=shape.layers, form=form, device=device)
    batch = [peer.place(pictures) for pictures in pictures_of(shape).values()]

    def run() -> Any:
        losses = peer.step(*batch)
        wait_for(device)
        return losses

    return run


def peer_translation(shape: Shape, form: Form, device: str) -> Run:
    """Return the peer's generator's forward pass."""
    tiny = (3, 3)  # discriminators that are not asked
    peer = Peer(light=True, **shape._asdict(), layers=tiny, form=form, device=device)
    x = peer.place(pictures_of(shape)["a"])

    def run() -> Any:
        with torch.no_grad():
            result = peer.generate("a2b", x)
        wait_for(device)
        return result

    return run


def matrix_product() -> Run:
    """Return a product of float32 matrices, SIDE × SIDE."""
    x, y = jax.random.normal(jax.random.key(0), (2, SIDE, SIDE))
    product = jax.jit(jnp.matmul, compiler_options=forward_options(jax.devices()[0]))
    return lambda: jax.block_until_ready(product(x, y))


def forms_on(device: str, compiled: bool) -> dict[str, Form]:
    """Return the peer's forms by name, and say in one line what cannot run."""
    best = replace(EAGER, bfloat16=device == "cuda")
    forms = {"eager": PLAIN, "eager, best": best}
    if not compiled:
        return forms
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(8, device=device))
    except Exception as error:  # whatever is missing: a C++ compiler, Triton, headers
        reason = str(error).strip().partition("\n")[0]
        print(f"torch.compile does not work here: {type(error).__name__}: {reason}\n")
    else:
        forms["compiled"] = replace(COMPILED, bfloat16=best.bfloat16)
    return forms


def count_flops(run: Run) -> float:
    """Return what the convolutions and products of a run of the peer take."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def row_of(what: str, times: dict[str, np.ndarray], flops: float) -> str:
    """Return a row of the table: medians with extremes, ratios of medians, rates."""
    medians = {name: float(np.median(of_run)) for name, of_run in times.items()}
    rate = 2 * SIDE**3 / medians.pop("product")
    cells = [
        f"{median * 1e3:.0f} ({times[name].min() * 1e3:.0f}–{times[name].max() * 1e3:.0f})"
        for name, median in medians.items()
    ]
    ours = medians.pop("ours")
    best = min(medians.values())
    cells += [f"{flops / 1e9:.1f}", f"{rate / 1e9:.0f}"]
    cells += [f"{flops / seconds / rate:.0%}" for seconds in (ours, best)]
    cells += [f"{ours / medians['eager']:.2f}", f"{ours / best:.2f}"]
    return f"| {what} | {' | '.join(cells)} |"


@exit_on_input_error
def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    metavar = "SIZE:WIDTH[:BLOCKS]"
    shapes = functools.partial(parser.add_argument, nargs="*", type=Shape.parse, metavar=metavar)
    # The second is that of configs/demo.py.
    shapes("--shapes", default=[Shape(128, 32), Shape(64, 24, 1)], help="to train")
    shapes("--translations", default=[Shape(256, 64)], help="to translate with")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--compiled",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="have a peer that torch.compile compiles, for minutes",
    )
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    flags = parser.parse_args()
    jax.config.update("jax_platforms", flags.device)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # two share a GPU's memory
    set_up_jax()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    forms = forms_on(flags.device, flags.compiled)
    dtype = np.dtype(compute_dtype("auto")).name
    where = f"{jax.devices()[0].device_kind}, {torch.get_num_threads()} threads"
    versions = f"jax {jax.__version__} in {dtype}, torch {torch.__version__}"
    how = f"{flags.clock} time in ms, median (least–most) of {flags.rounds} rounds"
    print(f"{where}, {versions}, {how}\n")
    names = [f"PyTorch, {name}" for name in forms]
    names += ["GFLOP", "GFLOP/s of a product", "ours, share", "best peer, share"]
    names += ["ours / eager", "ours / best peer"]
    print(f"| light, one picture | ours | {' | '.join(names)} |")
    print("|---|" + "---:|" * (1 + len(names)))
    work = [("step", shape, our_step, peer_step) for shape in flags.shapes]
    work += [("translate", s, our_translation, peer_translation) for s in flags.translations]
    for what, shape, ours, peer in work:
        torch.compiler.reset()  # it takes few shapes per network
        peers = {name: peer(shape, form, flags.device) for name, form in forms.items()}
        flops = count_flops(peers["eager, best"])
        runs = {"ours": ours(shape), **peers, "product": matrix_product()}
        times = measure(runs, flags.rounds, CLOCKS[flags.clock], before=2)
        title = f"{what}, {shape.size} px, width {shape.width}, {shape.blocks} blocks"
        print(row_of(title, times, flops), flush=True)


if __name__ == "__main__":
    main()
