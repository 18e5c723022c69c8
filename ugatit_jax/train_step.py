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

Batch = dict[str, Array]  # {'a', 'b'}: [N, H, W, 3], uint8 or float in [-1, 1]
Metrics = dict[str, Array]
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
            domain: {scale: both[scale][collection] for scale in SCALES}
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


def learning_rate(config: ConfigDict) -> optax.Schedule:
    """Return the rate by count of finished steps: constant for a half, then linearly to 0.

    With n steps and h = n // 2, step s (from 1) has rate·min(1, 1 - (s - h) / h), never below 0.
    """
    half = max(config.train.steps // 2, 1)

    def schedule(count: Array) -> Array:
        return config.train.learning_rate * jnp.clip(1 - (count + 1 - half) / half, 0.0, 1.0)

    return schedule


def build_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Return Adam with the L2 penalty inside the gradient, as in both original implementations."""
    train = config.train
    return optax.chain(
        optax.add_decayed_weights(train.weight_decay),
        optax.scale_by_adam(b1=train.beta1, b2=train.beta2, eps=1e-8),
        optax.scale_by_learning_rate(learning_rate(config)),
    )


def iterate_spectral(discriminators: Any, spectral: Any) -> Any:
    """Return the singular vectors of all discriminators after one power iteration."""
    return {
        domain: {s: power_iteration(discriminators[domain][s], spectral[domain][s]) for s in SCALES}
        for domain in spectral
    }


def clip_rho(generators: Any) -> Any:
    """Return the generators' parameters with every rho, and nothing else, projected on [0, 1]."""

    def clip(path: tuple[Any, ...], value: Array) -> Array:
        return jnp.clip(value, 0, 1) if path[-1].key == "rho" else value

    return jax.tree.map_with_path(clip, generators)


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


def adversarial_terms(judgements: dict[str, Judgement], target: float) -> Metrics:
    """Return least squares of patch logits and CAM logits, by scale."""
    terms = {}
    for scale, judgement in judgements.items():
        terms[scale] = losses.least_squares(judgement.logits, target)
        terms[f"cam_{scale}"] = losses.least_squares(judgement.cam_logits, target)
    return terms


def discriminator_loss(
    networks: Networks, params: Any, spectral: Any, weights: ConfigDict, batch: Batch, fakes: Batch
) -> tuple[Array, Metrics]:
    """Return lambda_1 L_lsgan as the discriminators see it, and its parts by name."""
    parts = {}
    for domain in ("a", "b"):
        pictures = interleave(batch[domain], fakes[domain])
        real, fake = deinterleave(judge(networks, params, spectral, pictures, domain))
        of_real, of_fake = adversarial_terms(real, 1), adversarial_terms(fake, 0)
        for name in of_real:
            parts[f"{name}_{domain}"] = of_real[name] + of_fake[name]
    return weighted_sum({"lsgan": parts}, {"lsgan": weights.adversarial})


def generator_loss(
    networks: Networks,
    params: Any,
    discriminators: Any,
    spectral: Any,
    weights: ConfigDict,
    batch: Batch,
) -> tuple[Array, Metrics]:
    """Return lambda_1 L_lsgan + lambda_2 L_cycle + lambda_3 L_identity + lambda_4 L_cam.

    And the four terms, with their parts, by name.
    """
    generator = networks.generator
    first = first_pass(generator, params, batch["a"], batch["b"])
    cycle_a = translate(generator, params["b2a"], first.fake_b.image).image
    cycle_b = translate(generator, params["a2b"], first.fake_a.image).image
    lsgan = {}
    for domain, fake in (("a", first.fake_a), ("b", first.fake_b)):
        judgements = judge(networks, discriminators, spectral, fake.image, domain)
        for name, term in adversarial_terms(judgements, 1).items():
            lsgan[f"{name}_{domain}"] = term
    parts = {
        "lsgan": lsgan,
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
            "lsgan": weights.adversarial,
            "cycle": weights.cycle,
            "identity": weights.identity,
            "cam": weights.cam,
        },
    )


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
    without them the paper's terms, 'generator/lsgan', 'generator/cycle', 'generator/identity',
    'generator/cam', 'discriminator/lsgan', and their parts by domain, direction and scale.
    """
    networks, optimizer = build_networks(config), build_optimizer(config)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        batch = {
            domain: images.to_float(pictures) if pictures.dtype == jnp.uint8 else pictures
            for domain, pictures in batch.items()
        }

        # The generators' loss runs this pass again, on the same parameters: XLA computes it once.
        first = first_pass(networks.generator, state.generators, batch["a"], batch["b"])
        fakes = {"a": first.fake_a.image, "b": first.fake_b.image}
        spectral = iterate_spectral(state.discriminators, state.spectral)
        (_, d_terms), grads = jax.value_and_grad(discriminator_loss, 1, has_aux=True)(
            networks, state.discriminators, spectral, config.loss, batch, fakes
        )
        updates, discriminator_optimizer = optimizer.update(
            grads, state.discriminator_optimizer, state.discriminators
        )
        discriminators = optax.apply_updates(state.discriminators, updates)

        spectral = iterate_spectral(discriminators, spectral)
        (_, g_terms), grads = jax.value_and_grad(generator_loss, 1, has_aux=True)(
            networks, state.generators, discriminators, spectral, config.loss, batch
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
