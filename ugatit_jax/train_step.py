"""One training step, as a pure function: (state, batch) → (state, metrics).

The discriminators of both domains are updated first, then both generators, on the same batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax import images, losses
from ugatit_jax.models import (
    Discriminator,
    Generator,
    Judgement,
    Translation,
    build_discriminators,
    build_generator,
    power_iteration,
)
from ugatit_jax.optimizer import build_optimizer, clip_rho

Batch = dict[str, Array]  # {'a', 'b'}: [N, H, W, 3], uint8 or float in [-1, 1]
Metrics = dict[str, Array]
PullBack = Callable[..., tuple[Any]]
SCALES = ("local", "global")


class Networks(NamedTuple):
    """The architecture, without parameters."""

    generator: Generator
    discriminators: dict[str, Discriminator]


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes. With the config, it determines the rest of the run."""

    step: Array  # steps done
    generators: Any  # parameters {'a2b', 'b2a'}
    discriminators: Any  # parameters {'a', 'b'}: {'local', 'global'}; 'a' judges domain A
    spectral: Any  # singular vectors, in the discriminators' structure
    generator_optimizer: optax.OptState
    discriminator_optimizer: optax.OptState
    ema: Any  # moving average of `generators`, or None


def build_networks(config: ConfigDict) -> Networks:
    """Return the networks that a (checked) config describes."""
    return Networks(build_generator(config), build_discriminators(config))


def create_state(config: ConfigDict) -> TrainState:
    """Return the state before the first step, which follows from the config alone; jit it."""
    networks, optimizer = build_networks(config), build_optimizer(config)
    picture = jnp.zeros((1, *config.data.image_size, 3))
    keys = iter(jax.random.split(jax.random.key(config.seed), 6))
    generators = {
        way: networks.generator.init(next(keys), picture)["params"] for way in ("a2b", "b2a")
    }
    variables = {
        domain: {s: networks.discriminators[s].init(next(keys), picture) for s in SCALES}
        for domain in ("a", "b")
    }
    discriminators, spectral = (
        {
            domain: {scale: both[scale].get(collection, {}) for scale in SCALES}
            for domain, both in variables.items()
        }
        for collection in ("params", "spectral")
    )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generators=generators,
        discriminators=discriminators,
        # Random vectors say nothing of the kernels yet: one iteration makes sigma an estimate.
        spectral=iterate_spectral(discriminators, spectral),
        generator_optimizer=optimizer.init(generators),
        discriminator_optimizer=optimizer.init(discriminators),
        ema=jax.tree.map(jnp.copy, generators) if config.train.ema_decay else None,
    )


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
    judgements = {}
    for scale in SCALES:
        variables = {"params": params[domain][scale], "spectral": spectral[domain][scale]}
        judgement = networks.discriminators[scale].apply(variables, pictures)
        judgements[scale] = cast(Judgement, judgement)
    return judgements


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
        judgement = judge(networks, params, spectral, pictures, domain)[scale]
        return getattr(judgement, head).sum()

    terms = {}
    for scale in SCALES:
        for name, head in ((scale, "logits"), (f"cam_{scale}", "cam_logits")):
            gradient = jax.grad(total)(pictures, scale, head)
            square = jnp.square(gradient).sum((1, 2, 3))
            terms[name] = penalty(jnp.sqrt(jnp.maximum(square, 1e-24)))  # differentiable at 0
    return terms


def draw_noise(config: ConfigDict, step: Array, batch: Batch) -> dict[str, dict[str, Array]]:
    """Return what `losses.penalty_pictures` needs for a step, by domain."""
    noise = {}
    for i, domain in enumerate(("a", "b")):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), step), i)
        of_alpha, of_epsilon = jax.random.split(key)
        pictures = batch[domain]
        noise[domain] = {
            "alpha": jax.random.uniform(of_alpha, (len(pictures), 1, 1, 1)),
            "epsilon": jax.random.uniform(of_epsilon, pictures.shape),
        }
    return noise


def discriminator_loss(
    networks: Networks,
    params: Any,
    spectral: Any,
    weights: ConfigDict,
    batch: Batch,
    fakes: Batch,
    noise: dict[str, dict[str, Array]],
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


def make_train_step(
    config: ConfigDict,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Return the training step of a (checked) config, to be jitted by the caller.

    Metrics are scalars: 'generator/total' and 'discriminator/total' with the config's weights;
    without them the terms, 'generator/adversarial', 'generator/cycle', 'generator/identity',
    'generator/cam', 'discriminator/adversarial', and 'discriminator/penalty' where the kind has
    one; and their parts by domain, direction and scale.
    """
    networks, optimizer = build_networks(config), build_optimizer(config)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        batch = {
            domain: images.to_float(pictures) if pictures.dtype == jnp.uint8 else pictures
            for domain, pictures in batch.items()
        }

        first, pull_back = open_first_pass(networks.generator, state.generators, batch)
        fakes = {"a": first.fake_a.image, "b": first.fake_b.image}
        noise = draw_noise(config, state.step, batch)
        spectral = iterate_spectral(state.discriminators, state.spectral)
        (_, d_terms), grads = jax.value_and_grad(discriminator_loss, 1, has_aux=True)(
            networks, state.discriminators, spectral, config.loss, batch, fakes, noise
        )
        updates, discriminator_optimizer = optimizer.update(
            grads, state.discriminator_optimizer, state.discriminators
        )
        discriminators = optax.apply_updates(state.discriminators, updates)

        spectral = iterate_spectral(discriminators, spectral)
        grads, g_terms = generator_gradients(
            networks,
            state.generators,
            first,
            pull_back,
            discriminators,
            spectral,
            config.loss,
            batch,
        )
        updates, generator_optimizer = optimizer.update(
            grads, state.generator_optimizer, state.generators
        )
        generators = clip_rho(optax.apply_updates(state.generators, updates))

        ema = state.ema
        if ema is not None:
            ema = optax.incremental_update(generators, ema, 1 - config.train.ema_decay)
        metrics = {f"discriminator/{name}": term for name, term in d_terms.items()}
        metrics |= {f"generator/{name}": term for name, term in g_terms.items()}
        return TrainState(
            step=state.step + 1,
            generators=generators,
            discriminators=discriminators,
            spectral=spectral,
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            ema=ema,
        ), metrics

    return step


def sample(
    generator: Generator, params: Any, real_a: Array, real_b: Array
) -> dict[str, dict[str, Array]]:
    """Translate pictures [N, H, W, 3] of both domains there and back, for people to look at.

    Returns {'a2b': …, 'b2a': …}, each with 'input', 'translation', 'cycle', 'identity' (the input
    through its own domain's generator), all [N, H, W, 3], and the heat maps 'attention' and
    'cycle_attention' of the way there and back, [N, H/4, W/4].
    """
    samples = {}
    for there, back, real in (("a2b", "b2a", real_a), ("b2a", "a2b", real_b)):
        translation = translate(generator, params[there], real)
        cycle = translate(generator, params[back], translation.image)
        samples[there] = {
            "input": real,
            "attention": translation.heatmap,
            "translation": translation.image,
            "cycle_attention": cycle.heatmap,
            "cycle": cycle.image,
            "identity": translate(generator, params[back], real).image,
        }
    return samples
