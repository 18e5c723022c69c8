"""Terms of the objective (paper, section 2.2): each one returns a scalar, unweighted."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax import Array

# --- The adversarial term: logits of any shape, of pictures to be judged 1 ("real") or 0 --------


def least_squares(logits: Array, target: float) -> Array:
    """Mean squared distance of logits to the target."""
    return jnp.square(logits - target).mean()


def cross_entropy(logits: Array, target: float) -> Array:
    """Mean cross-entropy of the logits' sigmoid and the target: the first GAN's loss."""
    labels = jnp.full_like(logits, target)
    return optax.sigmoid_binary_cross_entropy(logits, labels).mean()


def hinge(logits: Array, target: float) -> Array:
    """Mean distance of logits to 1 or more for target 1, to -1 or less for target 0."""
    return jnp.maximum(0, 1 - _sign(target) * logits).mean()


def critic(logits: Array, target: float) -> Array:
    """Mean of the logits, negative for target 1: Wasserstein GAN's loss."""
    return -_sign(target) * logits.mean()


def two_sided_penalty(norms: Array) -> Array:
    """Mean squared distance of a gradient's norms to 1."""
    return jnp.square(norms - 1).mean()


def one_sided_penalty(norms: Array) -> Array:
    """Mean squared distance of a gradient's norms to 1 or less."""
    return jnp.square(jnp.maximum(0, norms - 1)).mean()


def penalty_pictures(
    real: Array, fake: Array, alpha: Array, epsilon: Array, deviation: Array, near_real: bool
) -> Array:
    """Return pictures [N, H, W, 3] to take a gradient penalty at, from uniform random numbers.

    They are the share alpha [N, 1, 1, 1] of the way from real pictures to fake ones, or with
    `near_real` to themselves under uniform noise epsilon [N, H, W, 3] of half their deviation
    [N, 1, 1, 1], which is that of the whole batch.
    """
    end = real + 0.5 * deviation * epsilon if near_real else fake
    return real + alpha * (end - real)


def _sign(target: float) -> float:
    return 2 * target - 1


# What the loss of one true and one false picture is, at least, where a discriminator is wrong about
# both; and what it is where it cannot tell, and says the same of both.
UNDECIDED: dict[Callable[[Array, float], Array], float] = {
    least_squares: 2 * 0.5**2,
    cross_entropy: 2 * math.log(2),
    hinge: 2.0,
}


class Adversarial(NamedTuple):
    """One kind of adversarial term."""

    discriminator: Callable[[Array, float], Array]
    generator: Callable[[Array, float], Array]
    # Of the norm of a logit's gradient with respect to the picture, one per picture.
    penalty: Callable[[Array], Array] | None = None
    # Where that gradient is taken: near real pictures, or between real and translated ones.
    near_real: bool = False


KINDS = {
    "lsgan": Adversarial(least_squares, least_squares),
    "gan": Adversarial(cross_entropy, cross_entropy),
    "hinge": Adversarial(hinge, critic),
    "wgan-gp": Adversarial(critic, critic, two_sided_penalty),
    "wgan-lp": Adversarial(critic, critic, one_sided_penalty),
    "dragan": Adversarial(cross_entropy, cross_entropy, two_sided_penalty, near_real=True),
}


# --- The other terms ----------------------------------------------------------------------------


def cycle(cycled: Array, real: Array) -> Array:
    """L1 distance of a picture, translated there and back, to itself. Both [N, H, W, 3]."""
    return jnp.abs(cycled - real).mean()


def identity(translated: Array, real: Array) -> Array:
    """L1 distance of a target picture to its translation. Both [N, H, W, 3]."""
    return jnp.abs(translated - real).mean()


def reconstruction(found: Array, given: Array) -> Array:
    """L1 distance of a picture, a content or a style to what it was made of. Any equal shapes."""
    wide = jnp.promote_types(found.dtype, jnp.float32)
    return jnp.abs(found.astype(wide) - given.astype(wide)).mean()


def kl_of_means(means: Array) -> Array:
    """Mean square: twice the KL divergence of N(mean, 1) from N(0, 1), mean over all values."""
    return jnp.square(means.astype(jnp.promote_types(means.dtype, jnp.float32))).mean()


def cam(source_logits: Array, target_logits: Array) -> Array:
    """Cross-entropy of the generator's classifier: source domain → 1, target domain → 0.

    Both [N, 2]: the logits of average and maximum pooling.
    """
    return cross_entropy(source_logits, 1) + cross_entropy(target_logits, 0)


def kl_divergence(mean: Array, log_variance: Array) -> Array:
    """Kullback-Leibler divergence of normal distributions from N(0, 1), the mean over pictures.

    Both [N, S], of S independent components, whose divergences are added up.
    """
    of_components = jnp.square(mean) + jnp.exp(log_variance) - log_variance - 1
    return 0.5 * of_components.sum(-1).mean()


def mode_seeking(first: Array, second: Array, style: Array, other_style: Array) -> Array:
    """Likeness of two pictures made in two styles, for how much these differ (Mao et al., 2019).

    Pictures [N, H, W, 3], styles [N, S]. It is 1 / (ratio + 1e-5), the mean over pairs, with the
    ratio of the mean absolute difference of two pictures to that of their styles.
    """
    of_pictures = jnp.abs(first - second).mean((1, 2, 3))
    of_styles = jnp.abs(style - other_style).mean(1)
    return (1 / (of_pictures / of_styles + 1e-5)).mean()


# --- Their sum ----------------------------------------------------------------------------------


def weighted_sum(
    parts: dict[str, dict[str, Array]], weights: dict[str, float]
) -> tuple[Array, dict[str, Array]]:
    """Return the objective, and {'total', every term, 'TERM/PART'}; a term is its parts' sum."""
    terms = {name: jnp.sum(jnp.stack([*of_term.values()])) for name, of_term in parts.items()}
    total = jnp.sum(jnp.stack([weights[name] * term for name, term in terms.items()]))
    named = {f"{name}/{part}": v for name, of_term in parts.items() for part, v in of_term.items()}
    return total, {"total": total} | terms | named
