"""One training step, as a pure function: (state, batch) → (state, metrics).

The discriminators of both domains are updated first, then both generators, on the same batch.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from ugatit_jax.data import images
from ugatit_jax.devices import sharding
from ugatit_jax.devices.sharding import AXES
from ugatit_jax.methods import losses
from ugatit_jax.methods.optimizer import build_optimizer, clip_rho
from ugatit_jax.methods.ugatit import (
    SCALES,
    Batch,
    Metrics,
    Noise,
    build_networks,
    discriminator_loss,
    generator_gradients,
    iterate_spectral,
    open_first_pass,
    translate,
)
from ugatit_jax.models import Generator


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


def draw_noise(config: ConfigDict, step: Array, batch: Batch) -> Noise:
    """Return what `losses.penalty_pictures` needs for a step, by domain; {} without a penalty."""
    if losses.KINDS[config.loss.kind].penalty is None:
        return {}
    noise = {}
    for i, domain in enumerate(("a", "b")):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), step), i)
        of_alpha, of_epsilon = jax.random.split(key)
        pictures = batch[domain]
        one_each = (len(pictures), 1, 1, 1)
        noise[domain] = {
            "alpha": jax.random.uniform(of_alpha, one_each),
            "epsilon": jax.random.uniform(of_epsilon, pictures.shape),
            "deviation": jnp.broadcast_to(pictures.std(), one_each),
        }
    return noise


def make_train_step(
    config: ConfigDict, mesh: Mesh
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Return the training step of a (checked) config on a mesh, to be jitted by the caller.

    Each device computes the gradients of its own pictures, `config.train.accumulate` parts of them
    one after the other. They are averaged once per update, and every device makes the same one.

    Metrics are scalars: 'generator/total' and 'discriminator/total' with the config's weights;
    without them the terms, 'generator/adversarial', 'generator/cycle', 'generator/identity',
    'generator/cam', 'discriminator/adversarial', and 'discriminator/penalty' where the kind has
    one; and their parts by domain, direction and scale.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        batch = {
            domain: images.to_float(pictures) if pictures.dtype == jnp.uint8 else pictures
            for domain, pictures in batch.items()
        }
        noise = draw_noise(config, state.step, batch)
        places = sharding.partition(state)
        on_devices = jax.shard_map(
            functools.partial(_step_on_device, config),
            mesh=mesh,
            in_specs=(places, P(AXES), P(AXES)),
            out_specs=(places, P()),
            check_vma=False,  # so that derivatives are a device's own, until they are averaged
        )
        return on_devices(state, batch, noise)

    return step


def _step_on_device(
    config: ConfigDict, state: TrainState, batch: Batch, noise: Noise
) -> tuple[TrainState, Metrics]:
    """Do a step with a device's share of the batch."""
    networks, optimizer = build_networks(config, split_over="model"), build_optimizer(config)
    in_parts = functools.partial(
        sharding.over_microbatches, batch=(batch, noise), count=config.train.accumulate
    )
    open_pass = functools.partial(open_first_pass, networks.generator, state.generators)
    # Of a batch in one part, the first pass serves both updates. Of more, none can be kept.
    kept = open_pass(batch) if config.train.accumulate == 1 else None

    spectral = iterate_spectral(state.discriminators, state.spectral)

    def for_discriminators(part: tuple[Batch, Noise]) -> tuple[Any, Metrics]:
        batch, noise = part
        first, _ = kept or open_pass(batch)
        fakes = {"a": first.fake_a.image, "b": first.fake_b.image}
        (_, terms), grads = jax.value_and_grad(discriminator_loss, 1, has_aux=True)(
            networks, state.discriminators, spectral, config.loss, batch, fakes, noise
        )
        return grads, terms

    grads, d_terms = sharding.mean_over_devices(in_parts(for_discriminators))
    updates, discriminator_optimizer = optimizer.update(
        grads, state.discriminator_optimizer, state.discriminators
    )
    discriminators = optax.apply_updates(state.discriminators, updates)
    spectral = iterate_spectral(discriminators, spectral)

    def for_generators(part: tuple[Batch, Noise]) -> tuple[Any, Metrics]:
        batch, _ = part
        opened = kept or open_pass(batch)
        return generator_gradients(
            networks, state.generators, *opened, discriminators, spectral, config.loss, batch
        )

    grads, g_terms = sharding.mean_over_devices(in_parts(for_generators))
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


def jit_train_step(config: ConfigDict, mesh: Mesh) -> jax.stages.Wrapped:
    """Return the training step on a mesh, jitted; it consumes the state that it is given."""
    places, on_data = state_shardings(config, mesh), sharding.over_data(mesh)
    return jax.jit(
        make_train_step(config, mesh),
        in_shardings=(places, on_data),
        out_shardings=(places, sharding.replicated(mesh)),
        donate_argnums=0,
    )


def state_shardings(config: ConfigDict, mesh: Mesh) -> TrainState:
    """Return where every array of a config's state lies on a mesh."""
    return sharding.shardings(mesh, jax.eval_shape(functools.partial(create_state, config)))


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
