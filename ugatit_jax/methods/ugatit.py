"""The objective: what generators and discriminators are trained to make small, and its gradients.

    min_G max_D  lambda_1 L_gan + lambda_2 L_cycle + lambda_3 L_identity + lambda_4 L_cam

Every function is pure: networks without parameters, parameters, pictures in; losses out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.methods import losses
from ugatit_jax.models import (
    Discriminator,
    Generator,
    Judgement,
    Translation,
    build_discriminators,
    build_generator,
    power_iteration,
)

Batch = dict[str, Array]  # {'a', 'b'}: [N, H, W, 3], float in [-1, 1]
Noise = dict[str, dict[str, Array]]  # {'a', 'b'}: what `losses.penalty_pictures` wants besides
Metrics = dict[str, Array]
PullBack = Callable[..., tuple[Any]]
SCALES = ("local", "global")


class Networks(NamedTuple):
    """The architecture, without parameters."""

    generator: Generator
    discriminators: dict[str, Discriminator]


def build_networks(config: ConfigDict, split_over: str | None = None) -> Networks:
    """Return the networks that a (checked) config describes; `split_over`: see build_generator."""
    return Networks(build_generator(config, split_over), build_discriminators(config))


def iterate_spectral(discriminators: Any, spectral: Any) -> Any:
    """Return the singular vectors of all discriminators after one power iteration."""
    return {
        domain: {s: power_iteration(discriminators[domain][s], spectral[domain][s]) for s in SCALES}
        for domain in spectral
    }


def interleave(x: Array, y: Array) -> Array:
    """Merge two batches into one: x[0], y[0], x[1], …: a split over devices stays as it is."""
    return jnp.stack([x, y], axis=1).reshape(-1, *x.shape[1:])


def deinterleave(outputs: Any) -> tuple[Any, Any]:
    """Undo `interleave` in every array of a tree."""
    return jax.tree.map(lambda z: z[0::2], outputs), jax.tree.map(lambda z: z[1::2], outputs)


class FirstPass(NamedTuple):
    """Both generators on both domains."""

    fake_a: Translation
    fake_b: Translation
    identity_a: Translation
    identity_b: Translation


def translate(generator: Generator, params: Any, pictures: Array) -> Translation:
    """Translate pictures [N, H, W, 3] with one generator's parameters."""
    return cast(Translation, generator.apply({"params": params}, pictures))


def first_pass(generator: Generator, params: Any, real_a: Array, real_b: Array) -> FirstPass:
    """Translate both domains with both generators, each one's two batches in one call."""
    a2b = translate(generator, params["a2b"], interleave(real_a, real_b))
    b2a = translate(generator, params["b2a"], interleave(real_b, real_a))
    fake_b, identity_b = deinterleave(a2b)
    fake_a, identity_a = deinterleave(b2a)
    return FirstPass(fake_a, fake_b, identity_a, identity_b)


def open_first_pass(generator: Generator, params: Any, batch: Batch) -> tuple[FirstPass, PullBack]:
    """Return `first_pass`, and the function from its gradients to those of the parameters.

    Both updates need the translations, and the second one needs their gradient. Computed in each of
    them, they make a step's FLOPs 14 % more: XLA does not see that they are the same.
    """
    return jax.vjp(lambda p: first_pass(generator, p, batch["a"], batch["b"]), params)


def judge(
    networks: Networks, params: Any, spectral: Any, pictures: Array, domain: str
) -> dict[str, Judgement]:
    """Return what a domain's local and global discriminator say of pictures [N, H, W, 3]."""
    return {s: judge_at(s, networks, params, spectral, pictures, domain) for s in SCALES}


def judge_at(
    scale: str, networks: Networks, params: Any, spectral: Any, pictures: Array, domain: str
) -> Judgement:
    """Return what a domain's discriminator of one scale says of pictures [N, H, W, 3]."""
    variables = {"params": params[domain][scale], "spectral": spectral[domain][scale]}
    return cast(Judgement, networks.discriminators[scale].apply(variables, pictures))


def adversarial_terms(
    loss: Callable[[Array, float], Array], judgements: dict[str, Judgement], target: float
) -> Metrics:
    """Return the losses of patch logits and CAM logits, by scale; target 1 is "real"."""
    terms = {}
    for scale, judgement in judgements.items():
        terms[scale] = loss(judgement.logits, target)
        terms[f"cam_{scale}"] = loss(judgement.cam_logits, target)
    return terms


def penalty_terms(
    networks: Networks,
    params: Any,
    spectral: Any,
    penalty: Callable[[Array], Array],
    pictures: Array,
    domain: str,
) -> Metrics:
    """Return the gradient penalty of patch logits and CAM logits at some pictures, by scale."""

    def total(pictures: Array, scale: str, head: str) -> Array:
        judgement = judge_at(scale, networks, params, spectral, pictures, domain)
        return getattr(judgement, head).sum()

    terms = {}
    for scale in SCALES:
        for name, head in ((scale, "logits"), (f"cam_{scale}", "cam_logits")):
            gradient = jax.grad(total)(pictures, scale, head)
            square = jnp.square(gradient).sum((1, 2, 3))
            terms[name] = penalty(jnp.sqrt(jnp.maximum(square, 1e-24)))  # differentiable at 0
    return terms


def discriminator_loss(
    networks: Networks,
    params: Any,
    spectral: Any,
    weights: ConfigDict,
    batch: Batch,
    fakes: Batch,
    noise: Noise,
) -> tuple[Array, Metrics]:
    """Return lambda_1 times the adversarial term as the discriminators see it, and its parts.

    `weights` is the config's section `loss`; only kinds with a penalty look at `noise`.
    """
    kind = losses.KINDS[weights.kind]
    parts: Metrics = {}
    penalties: Metrics = {}
    for domain in ("a", "b"):
        pictures = interleave(batch[domain], fakes[domain])
        real, fake = deinterleave(judge(networks, params, spectral, pictures, domain))
        of_real = adversarial_terms(kind.discriminator, real, 1)
        of_fake = adversarial_terms(kind.discriminator, fake, 0)
        for name in of_real:
            parts[f"{name}_{domain}"] = of_real[name] + of_fake[name]
        if kind.penalty is None:
            continue
        pictures = losses.penalty_pictures(
            batch[domain], fakes[domain], **noise[domain], near_real=kind.near_real
        )
        terms = penalty_terms(networks, params, spectral, kind.penalty, pictures, domain)
        penalties |= {f"{name}_{domain}": term for name, term in terms.items()}
    by_term = {"adversarial": parts} | ({"penalty": penalties} if penalties else {})
    return weighted_sum(
        by_term,
        {"adversarial": weights.adversarial, "penalty": weights.adversarial * weights.penalty},
    )


def generator_loss(
    networks: Networks,
    params: Any,
    first: FirstPass,
    discriminators: Any,
    spectral: Any,
    weights: ConfigDict,
    batch: Batch,
) -> tuple[Array, Metrics]:
    """Return lambda_1 L_gan + lambda_2 L_cycle + lambda_3 L_identity + lambda_4 L_cam.

    And the four terms, with their parts, by name. `first` is what the generators make of the
    batch; `params` are used for the way back. `weights` is the config's section `loss`.
    """
    generator, kind = networks.generator, losses.KINDS[weights.kind]
    cycle_a = translate(generator, params["b2a"], first.fake_b.image).image
    cycle_b = translate(generator, params["a2b"], first.fake_a.image).image
    adversarial = {}
    for domain, fake in (("a", first.fake_a), ("b", first.fake_b)):
        judgements = judge(networks, discriminators, spectral, fake.image, domain)
        for name, term in adversarial_terms(kind.generator, judgements, 1).items():
            adversarial[f"{name}_{domain}"] = term
    parts = {
        "adversarial": adversarial,
        "cycle": {
            "a": losses.cycle(cycle_a, batch["a"]),
            "b": losses.cycle(cycle_b, batch["b"]),
        },
        "identity": {
            "a": losses.identity(first.identity_a.image, batch["a"]),
            "b": losses.identity(first.identity_b.image, batch["b"]),
        },
        "cam": {
            "a2b": losses.cam(first.fake_b.cam_logits, first.identity_b.cam_logits),
            "b2a": losses.cam(first.fake_a.cam_logits, first.identity_a.cam_logits),
        },
    }
    return weighted_sum(
        parts,
        {
            "adversarial": weights.adversarial,
            "cycle": weights.cycle,
            "identity": weights.identity,
            "cam": weights.cam,
        },
    )


def generator_gradients(
    networks: Networks,
    params: Any,
    first: FirstPass,
    pull_back: PullBack,
    discriminators: Any,
    spectral: Any,
    weights: ConfigDict,
    batch: Batch,
) -> tuple[Any, Metrics]:
    """Return the gradients of `generator_loss`, and its terms.

    `first` and `pull_back` are what `open_first_pass` returned.
    """
    gradients = jax.value_and_grad(generator_loss, (1, 2), has_aux=True)
    (_, terms), (of_params, of_first) = gradients(
        networks, params, first, discriminators, spectral, weights, batch
    )
    return jax.tree.map(jnp.add, of_params, *pull_back(of_first)), terms


def weighted_sum(parts: dict[str, Metrics], weights: dict[str, float]) -> tuple[Array, Metrics]:
    """Return the objective, and {'total', every term, 'TERM/PART'}; a term is its parts' sum."""
    terms = {name: jnp.sum(jnp.stack([*of_term.values()])) for name, of_term in parts.items()}
    total = jnp.sum(jnp.stack([weights[name] * term for name, term in terms.items()]))
    named = {f"{name}/{part}": v for name, of_term in parts.items() for part, v in of_term.items()}
    return total, {"total": total} | terms | named
