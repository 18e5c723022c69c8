"""Adam as both original implementations have it, and its learning rate."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

# What multiplies the rate of a batch of one picture for a batch of n: nothing; its square root, by
# which Adam's path stays that of small batches (Malladi et al., 2022); or n, the rule for SGD.
LEARNING_RATE_SCALING: dict[str, Callable[[int], float]] = {
    "none": lambda n: 1.0,
    "sqrt": math.sqrt,
    "linear": float,
}


def adam(train: ConfigDict, rate: optax.Schedule) -> optax.GradientTransformation:
    """Return Adam with the L2 penalty inside the gradient; `train` is the config's section."""
    scale_by_adam = scale_by_adam_of_tf1 if train.tf1_epsilon else optax.scale_by_adam
    return optax.chain(
        optax.add_decayed_weights(
            train.weight_decay, mask=select_kernels if train.decay_kernels_only else None
        ),
        scale_by_adam(b1=train.beta1, b2=train.beta2, eps=1e-8),
        optax.scale_by_learning_rate(rate),
    )


def scale_by_adam_of_tf1(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Return optax's `scale_by_adam`, but for eps: added before the deviation is corrected."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        corrected = eps / jnp.sqrt(1 - b2 ** (state.count + 1))
        return optax.scale_by_adam(b1, b2, corrected).update(updates, state, params)

    return optax.GradientTransformation(optax.scale_by_adam(b1, b2, eps).init, update)


def select_kernels(params: Any) -> Any:
    """Return a tree of the parameters' structure, True for kernels."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)


def learning_rate(
    train: ConfigDict, steps: int | None = None, rate: float | None = None
) -> optax.Schedule:
    """Return the rate by count of finished steps: constant for a half, then linearly to 0.

    With n steps and h = n // 2, step s (from 1) has rate·min(1, 1 - (s - h) / h), never below 0.
    Steps and rate are those of the config's section `train`, or others of a part of the training;
    the rate is scaled by the section's rule for the batch size.
    """
    half = max((train.steps if steps is None else steps) // 2, 1)
    rate = base_rate(train, rate)

    def schedule(count: Array) -> Array:
        return rate * jnp.clip(1 - (count + 1 - half) / half, 0.0, 1.0)

    return schedule


def halving_rate(train: ConfigDict) -> optax.Schedule:
    """Return the rate of UNIT and MUNIT: halved after every `halve_every` steps.

    It begins with that of the config's section `train`, scaled by its rule for the batch size.
    """
    schedule: optax.Schedule = optax.exponential_decay(
        base_rate(train), train.halve_every, decay_rate=0.5, staircase=True
    )
    return schedule


def base_rate(train: ConfigDict, rate: float | None = None) -> float:
    """Return the rate of a training's first steps, scaled by its rule for the batch size.

    rate: for a batch of one picture; None: the config's.
    """
    rule = LEARNING_RATE_SCALING[train.learning_rate_scaling]
    return float((train.learning_rate if rate is None else rate) * rule(train.batch_size))
