"""AdaLIN as it stands against its equation written down: time of the forward and backward pass.

python -m benchmarks.normalization
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from ugatit_jax.models.normalization import EPSILON, instance_layer_normalize

SHAPES = ((1, 64, 64, 256), (8, 64, 64, 256), (1, 256, 256, 64))
ROUNDS = 15


def plain(x: Array, rho: Array, gamma: Array, beta: Array) -> Array:
    """Equation 1 of the paper, each statistic by a pass of its own."""

    def standardize(axes: tuple[int, ...]) -> Array:
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, ddof=1, keepdims=True)
        return (x - mean) / jnp.sqrt(variance + EPSILON)

    mixed = rho * standardize((1, 2)) + (1 - rho) * standardize((1, 2, 3))
    return gamma[:, None, None] * mixed + beta[:, None, None]


def gradient(normalize: Callable[..., Array]) -> Callable[..., tuple[Array, ...]]:
    """Return the compiled gradient of a norm's squared output."""

    def loss(*arguments: Array) -> Array:
        return jnp.square(normalize(*arguments)).sum()

    return jax.jit(jax.grad(loss, (0, 1, 2, 3)))


def main() -> None:
    """Print a line per shape."""
    print(
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}, best of {ROUNDS} rounds, in turns"
    )
    for shape in SHAPES:
        channels = shape[-1]
        x = jax.random.normal(jax.random.key(0), shape)
        style = [
            jnp.full(s, 0.5) for s in ((channels,), (shape[0], channels), (shape[0], channels))
        ]
        contenders = {"plain": gradient(plain), "ours": gradient(instance_layer_normalize)}
        best = dict.fromkeys(contenders, float("inf"))
        for _ in range(ROUNDS + 1):  # the first one compiles, and is never the best
            for name, run in contenders.items():
                start = time.perf_counter()
                jax.block_until_ready(run(x, *style))
                best[name] = min(best[name], time.perf_counter() - start)
        times = ", ".join(f"{name} {seconds * 1e3:.2f} ms" for name, seconds in best.items())
        print(f"{shape}: {times}, ratio {best['plain'] / best['ours']:.2f}")


if __name__ == "__main__":
    main()
