"""Every kind of convolution of the networks: the chosen form on a CPU against the others.

python -m benchmarks.convolution --size 128 --width 32 --pictures 2

Best of rounds in turns. On a machine with other work, `--clock cpu` counts the time of this
process alone, of all its threads together.
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array

from benchmarks.timing.turns import CLOCKS
from ugatit_jax.devices.runtime import keep_freed_memory
from ugatit_jax.models import convolution
from ugatit_jax.models.convolution import Form, pad
from ugatit_jax.models.winograd import convolve_doubled

PASSES = ("forward", "gradient of x", "gradient of kernel", "both gradients")


class Layer(NamedTuple):
    """A convolution: of pictures size × size, with a kernel [side, side, inputs, outputs]."""

    name: str
    size: int
    side: int
    inputs: int
    outputs: int
    stride: int = 1
    upsample: bool = False


def layers_of(size: int, width: int) -> list[Layer]:
    """Return the layers of the generator and of the discriminators, of each kind once."""
    layers = [
        Layer("down_0", size, 7, 3, width),
        Layer("down_1", size, 3, width, 2 * width, 2),
        Layer("down_2", size // 2, 3, 2 * width, 4 * width, 2),
        Layer("residual", size // 4, 3, 4 * width, 4 * width),
        Layer("up_0", size // 4, 3, 4 * width, 2 * width, upsample=True),
        Layer("up_1", size // 2, 3, 2 * width, width, upsample=True),
        Layer("to_rgb", size, 7, width, 3),
    ]
    for i in range(5):
        channels = 3 if i == 0 else width * 2 ** (i - 1)
        layers.append(Layer(f"judge conv_{i}", size // 2**i, 4, channels, width * 2**i, 2))
    for i in (3, 5):  # the last two convolutions of the local one, and of the global one
        layers += [
            Layer(f"judge conv_{i}, stride 1", size // 2**i, 4, width * 2 ** (i - 1), width * 2**i),
            Layer(f"judge logit after conv_{i}", size // 2**i, 4, width * 2**i, 1),
        ]
    return layers


def forms_of(layer: Layer) -> dict[str, Form]:
    """Return the ways to compute a layer, padding included; the last is the chosen one."""

    def padded(form: Form) -> Form:
        return lambda x, kernel: form(
            pad(x, layer.side // 2 if layer.side != 4 else 1, "reflect"), kernel
        )

    if layer.upsample:
        return {"plain": convolution.double_plainly, "chosen": convolve_doubled}
    stride = layer.stride
    forms: dict[str, Form] = {
        "plain": functools.partial(convolution.convolve_plainly, stride=stride)
    }
    if layer.side == 4:
        forms["patches"] = functools.partial(convolution.convolve_patches, stride=stride)
    if stride == 2:
        forms["blocks"] = convolution.convolve_by_two
    forms["chosen"] = functools.partial(convolution.convolve, stride=stride)
    return {name: padded(form) for name, form in forms.items()}


def passes_of(form: Form) -> dict[str, Callable[[Array, Array, Array], Any]]:
    """Return the compiled passes of a form, functions of x, kernel, the result's gradient."""

    def x_only(x: Array, kernel: Array, g: Array) -> Any:
        return jax.vjp(lambda x: form(x, kernel), x)[1](g)

    def kernel_only(x: Array, kernel: Array, g: Array) -> Any:
        return jax.vjp(lambda kernel: form(x, kernel), kernel)[1](g)

    def both(x: Array, kernel: Array, g: Array) -> Any:
        return jax.vjp(form, x, kernel)[1](g)

    functions = (lambda x, kernel, _: form(x, kernel), x_only, kernel_only, both)
    return dict(zip(PASSES, map(jax.jit, functions), strict=True))


def measure(
    layer: Layer, pictures: int, rounds: int, clock: Callable[[], float]
) -> dict[str, dict[str, float]]:
    """Return seconds by form and pass."""
    keys = jax.random.split(jax.random.key(0), 3)
    forms = forms_of(layer)
    x = jax.random.normal(keys[0], (pictures, layer.size, layer.size, layer.inputs))
    kernel = 0.1 * jax.random.normal(keys[1], (layer.side,) * 2 + (layer.inputs, layer.outputs))
    g = jax.random.normal(keys[2], jax.eval_shape(forms["plain"], x, kernel).shape)
    runs = {name: passes_of(form) for name, form in forms.items()}
    best = {name: dict.fromkeys(PASSES, float("inf")) for name in runs}
    for _ in range(rounds + 1):  # the first one compiles, and is never the best
        for name, passes in runs.items():
            for which, run in passes.items():
                start = clock()
                jax.block_until_ready(run(x, kernel, g))
                best[name][which] = min(best[name][which], clock() - start)
    return best


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--layers", nargs="+", help="only those whose names begin so")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    flags = parser.parse_args()
    keep_freed_memory()
    kind = jax.devices()[0].device_kind
    print(f"{kind}, jax {jax.__version__}, {flags.size} px, width {flags.width}, ", end="")
    print(f"{flags.pictures} pictures, {flags.clock} time in ms, best of {flags.rounds} rounds\n")
    print(f"| layer | form | {' | '.join(PASSES)} | all | × |\n|---|---|{'---|' * 6}")
    for layer in layers_of(flags.size, flags.width):
        if flags.layers and not layer.name.startswith(tuple(flags.layers)):
            continue
        best = measure(layer, flags.pictures, flags.rounds, CLOCKS[flags.clock])
        totals = {name: t["forward"] + t["both gradients"] for name, t in best.items()}
        for name, times in best.items():
            columns = " | ".join(f"{times[which] * 1e3:.2f}" for which in PASSES)
            total, ratio = totals[name] * 1e3, totals["plain"] / totals[name]
            print(f"| {layer.name} | {name} | {columns} | {total:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
