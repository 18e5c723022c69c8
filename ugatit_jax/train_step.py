"""One training step, as a pure function: (state, batch) → (state, metrics).

The discriminators of both domains are updated first, then both generators, on the same batch.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from ugatit_jax import images, sharding
from ugatit_jax.models import Generator
from ugatit_jax.objective import (
    SCALES,
    Batch,
    Metrics,
    build_networks,
    discriminator_loss,
    generator_gradients,
    iterate_spectral,
    open_first_pass,
    translate,
)
from ugatit_jax.optimizer import build_optimizer, clip_rho


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

    @property
    def best_generators(self) -> Any:
        """The generators that pictures are made with: their moving average, if there is one."""
        return self.generators if self.ema is None else self.ema


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


def state_shardings(config: ConfigDict, mesh: Mesh) -> TrainState:
    """Return where every array of the state lies on a mesh, as a TrainState of shardings."""
    shapes = jax.eval_shape(lambda: create_state(config))
    return jax.tree.map(lambda _: sharding.replicated(mesh), shapes)


def jit_train_step(config: ConfigDict, mesh: Mesh) -> Any:
    """Return the jitted training step on a mesh; it consumes the state that it is given."""
    state_on = state_shardings(config, mesh)
    return jax.jit(
        make_train_step(config),
        in_shardings=(state_on, sharding.over_data(mesh)),
        out_shardings=(state_on, sharding.replicated(mesh)),
        donate_argnums=0,
    )


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
