"""One training step of any method, as a pure function: (state, batch, fixed) → (state, metrics).

Each device computes the gradients of its own pictures, `train.accumulate` parts of them one after
the other. They are averaged once per move; of parameters that lie in shares each device moves its
own, of all others every device makes the same move.

Whether all terms and gradients of a step are finite is one of its metrics, so that nobody has to
wait for them to know, and so that a step can be left out without asking anybody.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

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
from ugatit_jax.methods.method import Batch, Context, Method, Params, Player, Terms
from ugatit_jax.methods.state import TrainState, translating

# By default XLA cuts large pictures of small batches into a larger batch and back, and copies them
# for it: 1.3 of 9.7 GB of the light network's step at 256 px, one picture per chip.
TPU_OPTIONS = dict.fromkeys(
    (
        "xla_tpu_run_space_to_batch",
        "xla_tpu_run_space_to_batch_after_spmd",
        "xla_tpu_run_space_to_batch_on_new_platforms",
    ),
    False,
)
FINITE = "finite"  # the name of the metric
OF_EXCHANGE = 2**31 - 1  # no method draws with this number
KEPT_ON_CPU = 2**31  # bytes of a state that there is room for twice
Opened = tuple[Any, Callable[..., tuple[Params]]]  # the first pass, and its pull-back


def make_train_step(
    method: Method, train: ConfigDict, seed: int, mesh: Mesh, phase: str, skip: bool = False
) -> Callable[[TrainState, Batch, Any], tuple[TrainState, Terms]]:
    """Return the training step of a phase on a mesh, to be jitted by the caller.

    method: a mapped one. train: the config's section. skip: whether a step with a term or gradient
    that is not finite changes nothing but the count of steps; the old state is kept for that until
    the step's end. The last argument of the step is what `Method.fixed` returns. Metrics are
    scalars: the players' terms, 'PLAYER/TERM'; the Euclidean norms of the gradients, before they
    are bounded, 'PLAYER/gradient/GROUP'; and FINITE, 1 if all of these are finite, else 0. Raises
    `ValueError` for players whose gradient through the first pass would be of other parameters than
    those that they move.
    """
    moved: set[str] = set()
    for player in method.players(phase):
        if player.through and not moved.isdisjoint(player.moves):
            raise ValueError(f"{player.name} is `through`, and its groups have moved before")
        moved.update(player.moves)

    def step(state: TrainState, batch: Batch, fixed: Any = ()) -> tuple[TrainState, Terms]:
        batch = {
            name: images.to_float(pictures) if pictures.dtype == jnp.uint8 else pictures
            for name, pictures in batch.items()
        }
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        places = sharding.partition(state, method.split, mesh.size)
        on_devices = jax.shard_map(
            functools.partial(_step_on_device, method, train, phase, skip, places.params),
            mesh=mesh,
            in_specs=(places, P(AXES), P(AXES), P(), P()),
            out_specs=(places, P()),
            check_vma=False,  # so that derivatives are a device's own, until they are averaged
        )
        return on_devices(state, batch, method.draw(key, batch), key, fixed)

    return step


def _step_on_device(
    method: Method,
    train: ConfigDict,
    phase: str,
    skip: bool,
    places: Params,
    state: TrainState,
    batch: Batch,
    noise: Any,
    key: Array,
    fixed: Any,
) -> tuple[TrainState, Terms]:
    """Do a step with a device's share of the batch."""
    gather = functools.partial(sharding.gather, dtype=method.dtype)
    shares, optimizers = dict(state.params), dict(state.optimizers)
    params = {group: gather(shares[group], places[group]) for group in shares}
    open_first_pass = functools.partial(_open_first_pass, method, dict(params))
    # Of a batch in one part, the first pass serves all players. Of more, none can be kept.
    kept = open_first_pass(batch, noise) if train.accumulate == 1 else None
    other, seen = _exchange(
        method, params, state.other, (batch, noise), key, kept, train.accumulate
    )
    metrics: Terms = {}
    gradients_of: dict[str, tuple[Params, Params]] = {}
    all_optimizers = method.optimizers(train)
    for player in method.players(phase):
        with jax.named_scope("refresh"):  # names of parts of the step, for profilers
            other = method.refresh(player.name, params, other)
        of_part = functools.partial(
            _of_part, player, params, other, fixed, lambda *part: kept or open_first_pass(*part)
        )
        found = sharding.over_microbatches(of_part, (batch, noise, seen), train.accumulate)
        with jax.named_scope("exchange"):
            moving = {group: places[group] for group in player.moves}
            grads, terms = sharding.mean_over_devices(found, (moving, P()))
        for group in player.moves:
            with jax.named_scope(f"update/{group}"):
                name = f"{player.name}/gradient/{group}"
                gradients_of[name] = grads[group], places[group]
                if group in method.bounds:
                    grads[group] = sharding.bound_norm(
                        grads[group], places[group], method.bounds[group]
                    )
                updates, optimizers[group] = all_optimizers[group].update(
                    grads[group], optimizers[group], shares[group]
                )
                shares[group] = method.project(group, optax.apply_updates(shares[group], updates))
                params[group] = gather(shares[group], places[group])
        metrics |= {f"{player.name}/{name}": term for name, term in terms.items()}

    ema = state.ema
    if ema is not None:
        ema = optax.incremental_update(translating(method, shares), ema, 1 - train.ema_decay)
    with jax.named_scope("finite"):
        # Adam keeps squares, too: one that overflows would stop its parameter for good.
        metrics |= sharding.norms(gradients_of)
        finite = jnp.isfinite(jnp.stack([*metrics.values()])).all()
        metrics[FINITE] = finite.astype(jnp.float32)
    after = TrainState(state.step + 1, shares, optimizers, other, ema)
    if skip:
        before = dataclasses.replace(state, step=after.step)
        # So that what was computed is computed as without this, to the same bits.
        after = jax.lax.optimization_barrier(after)
        after = jax.tree.map(functools.partial(jnp.where, finite), after, before)
    return after, metrics


def _open_first_pass(method: Method, params: Params, batch: Batch, noise: Any) -> Opened:
    return jax.vjp(lambda params: method.first(params, batch, noise), params)


def _of_part(
    player: Player,
    params: Params,
    other: Any,
    fixed: Any,
    opened: Callable[[Batch, Any], Opened],
    part: tuple[Batch, Any, Any],
) -> tuple[Params, Terms]:
    """Return a player's gradients and terms, of a part of the batch."""
    batch, noise, seen = part
    return gradients(
        player, params, opened(batch, noise), Context(batch, noise, seen, other, fixed)
    )


def gradients(
    player: Player, params: Params, opened: Opened, context: Context
) -> tuple[Params, Terms]:
    """Return the gradients of a player's loss, by the groups that it moves, and its terms."""
    first, pull_back = opened
    moving = {group: params[group] for group in player.moves}

    def loss(moving: Params, first: Any) -> tuple[Array, Terms]:
        return player.loss(params | moving, first, context)

    if not player.through:
        return jax.grad(loss, has_aux=True)(moving, first)
    (of_moving, of_first), terms = jax.grad(loss, (0, 1), has_aux=True)(moving, first)
    (through,) = pull_back(of_first)
    add = functools.partial(jax.tree.map, jnp.add)
    return {group: add(of_moving[group], through[group]) for group in moving}, terms


def _exchange(
    method: Method,
    params: Params,
    other: Any,
    part: tuple[Batch, Any],
    key: Array,
    kept: Opened | None,
    parts: int,
) -> tuple[Any, Any]:
    """Let the method put what it pools of the global batch into its pool, once per step."""
    if kept is not None:
        pooled = method.pooled(kept[0])
    else:
        # A pass of its own: the pool is of the whole batch, and no part's pass is kept.
        def of_part(part: tuple[Batch, Any]) -> Any:
            return method.pooled(method.first(params, *part))

        split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), part)
        mapped = jax.lax.map(of_part, split)
        pooled = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), mapped)
    leaves = jax.tree.leaves(pooled)
    if not leaves:
        return other, pooled
    key = jax.random.fold_in(key, OF_EXCHANGE)
    other, seen = method.exchange(other, sharding.all_devices(pooled), key)
    return other, sharding.this_device(seen, len(leaves[0]))


def compile_step(
    lowered: jax.stages.Lowered, platform: str, deterministic: bool
) -> jax.stages.Compiled:
    """Compile a lowered step with the options that its platform wants."""
    if platform != "tpu":
        gpu = platform == "gpu" and deterministic
        return lowered.compile({"xla_gpu_deterministic_ops": True} if gpu else {})
    try:
        return lowered.compile(dict(TPU_OPTIONS))
    except jax.errors.JaxRuntimeError as error:  # another libtpu may not have them
        if "No such compile option" not in str(error):
            raise
        return lowered.compile()


def jit_train_step(
    method: Method,
    train: ConfigDict,
    seed: int,
    mesh: Mesh,
    phase: str,
    state: TrainState,
    skip: bool = False,
) -> jax.stages.Wrapped:
    """Return the training step on a mesh, jitted; it may consume the state that it is given.

    state: of which arrays lie where is asked, maybe abstract. skip: see `make_train_step`.
    """
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    places, on_data = sharding.shardings(mesh, state, method.split), sharding.over_data(mesh)
    everywhere = sharding.replicated(mesh)
    return jax.jit(
        make_train_step(method, train, seed, mesh, phase, skip),
        in_shardings=(places, on_data, everywhere),
        out_shardings=(places, everywhere),
        # In place XLA would have to copy the old moments first, on a CPU: it reads them again for
        # the parameters. Not to do so takes 7 % of a step of 128 px away.
        donate_argnums=() if on_cpu and size < KEPT_ON_CPU else 0,
    )
