"""Terms of the objective (paper, section 2.2): each one returns a scalar, unweighted."""

import jax.numpy as jnp
import optax
from jax import Array


def least_squares(logits: Array, target: float) -> Array:
    """Mean squared distance of logits of any shape to 1 ("real") or 0 ("translated")."""
    return jnp.square(logits - target).mean()


def cycle(cycled: Array, real: Array) -> Array:
    """L1 distance of a picture, translated there and back, to itself. Both [N, H, W, 3]."""
    return jnp.abs(cycled - real).mean()


def identity(translated: Array, real: Array) -> Array:
    """L1 distance of a target picture to its translation. Both [N, H, W, 3]."""
    return jnp.abs(translated - real).mean()


def cam(source_logits: Array, target_logits: Array) -> Array:
    """Cross-entropy of the generator's classifier: source domain → 1, target domain → 0.

    Both [N, 2]: the logits of average and maximum pooling.
    """
    return (
        optax.sigmoid_binary_cross_entropy(source_logits, jnp.ones_like(source_logits)).mean()
        + optax.sigmoid_binary_cross_entropy(target_logits, jnp.zeros_like(target_logits)).mean()
    )
