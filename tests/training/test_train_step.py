"""The training step against the recorded steps of the authors' PyTorch implementation."""

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict
from pytorch_golden import DATA, DISCRIMINATORS, GENERATORS, LAYERS, Golden
from steps import creator, plain_step

from ugatit_jax.config import fields
from ugatit_jax.devices.sharding import make_mesh
from ugatit_jax.interop import pytorch
from ugatit_jax.methods import losses, optimizer
from ugatit_jax.methods.method import Context, Method, Player
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.methods.ugatit import UGATIT, FirstPass, adversarial_terms
from ugatit_jax.models import Translation
from ugatit_jax.training.step import gradients, make_train_step

STEPS = (1, 2, 3)


def discriminator_loss_call_by_call(
    method: UGATIT, discriminators: Any, other: Any, batch: Any, fakes: Any
) -> tuple[Any, Any]:
    """As the original does: one power iteration before each call, real first, then fake."""
    terms: dict[str, Any] = {}
    for target, pictures in ((1, batch), (0, fakes)):
        other = method.refresh("", {"discriminators": discriminators}, other)
        for d in "ab":
            judgements = method.judge_scales(discriminators, other["spectral"], pictures[d], d)
            least_squares = adversarial_terms(losses.least_squares, judgements, target)
            for name, term in least_squares.items():
                terms[f"{name}_{d}"] = terms.get(f"{name}_{d}", 0) + term
    return sum(terms.values()), (terms, other)


@functools.cache
def run_three_steps(case: str, dtype: type = np.float64) -> tuple[Golden, list[dict[str, Any]]]:
    """Run the step's own pieces, call by call, from the recorded start."""
    with jax.enable_x64(dtype == np.float64):
        golden = Golden(case, dtype)
        method, optimizers = golden.method, golden.method.optimizers(golden.config.train)
        _, generator = method.players("train")
        params, other = golden.params("init")
        states = {group: optimizers[group].init(params[group]) for group in params}

        @jax.jit
        def step(params: Any, other: Any, states: Any, batch: Any) -> Any:
            def move(group: str, grads: Any) -> Any:
                updates, state = optimizers[group].update(grads, states[group], params[group])
                return optax.apply_updates(params[group], updates), state

            opened = jax.vjp(lambda params: method.first(params, batch, ()), params)
            fakes = {"a": opened[0].fake_a.image, "b": opened[0].fake_b.image}
            loss = functools.partial(discriminator_loss_call_by_call, method)
            (d_loss, (d_terms, other)), d_grads = jax.value_and_grad(loss, has_aux=True)(
                params["discriminators"], other, batch, fakes
            )
            d, d_state = move("discriminators", d_grads)
            params = params | {"discriminators": d}
            other = method.refresh("", params, other)
            grads, g_terms = gradients(generator, params, opened, Context(batch, {}, (), other, ()))
            g_grads = grads["generators"]
            before_clip, g_state = move("generators", g_grads)
            g = method.project("generators", before_clip)
            record = {
                "d_loss": d_loss,
                "d_terms": d_terms,
                "d_grads": d_grads,
                "g_terms": g_terms,
                "g_grads": g_grads,
                "before_clip": before_clip,
                "after": (g, d),
            }
            states = {"generators": g_state, "discriminators": d_state}
            return record, params | {"generators": g}, other, states

        records, carry = [], (params, other, states)
        for n in STEPS:
            record, *rest = step(*carry, golden.batch(n))
            carry = tuple(rest)
            records.append(jax.device_get(record))
        return golden, records


CASES = ["light", pytest.param("full", marks=pytest.mark.slow)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", STEPS)
def test_losses_of_three_steps_are_the_recorded_ones(case, n):
    golden, records = run_three_steps(case)
    assert_losses(records[n - 1], golden.losses(n), rtol=1e-8)


def assert_losses(ours: dict[str, Any], theirs: dict[str, float], rtol: float) -> None:
    g, d = ours["g_terms"], ours["d_terms"]
    expected = {theirs["Discriminator_loss"]: ours["d_loss"], theirs["Generator_loss"]: g["total"]}
    for domain in "ab":
        for scale in ("local", "global"):
            for ours_name, name in (("", "ad_loss"), ("cam_", "ad_cam_loss")):
                suffix = f"{scale[0].upper()}{domain.upper()}"
                term = f"{ours_name}{scale}_{domain}"
                expected[theirs[f"D_{name}_{suffix}"]] = d[term]
                expected[theirs[f"G_{name}_{suffix}"]] = g[f"adversarial/{term}"]
        expected[theirs[f"G_recon_loss_{domain.upper()}"]] = g[f"cycle/{domain}"]
        expected[theirs[f"G_identity_loss_{domain.upper()}"]] = g[f"identity/{domain}"]
    expected[theirs["G_cam_loss_A"]] = g["cam/b2a"]
    expected[theirs["G_cam_loss_B"]] = g["cam/a2b"]
    assert len(expected) == 24
    for recorded, value in expected.items():
        np.testing.assert_allclose(value, recorded, rtol=rtol)


def in_their_layout(golden: Golden, network: str, ours: Any) -> dict[str, np.ndarray]:
    """Return {PyTorch's name: our values, flat, in PyTorch's order}."""
    state = golden.state_dict(f"init/{network}/")
    positions = {name: np.arange(x.size).reshape(x.shape) for name, x in state.items()}
    if network.startswith("gen"):
        names = pytorch.generator_names(golden.blocks)
        where = pytorch.import_generator(positions, golden.blocks)
    else:
        depth = LAYERS["local" if network[3] == "L" else "global"]
        names = pytorch.discriminator_names(depth)
        where, _ = pytorch.import_discriminator(positions, depth)
    where, ours = flatten_dict(where, sep="/"), flatten_dict(ours, sep="/")
    theirs = {}
    for name, our_name in names.items():
        theirs[name] = np.empty(where[our_name].size)
        theirs[name][where[our_name].reshape(-1)] = ours[our_name].reshape(-1)
    return theirs


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_the_first_step_are_the_recorded_ones(case):
    golden, records = run_three_steps(case)
    assert_gradients(golden, records[0])


@pytest.mark.thorough  # of full ones, tests/models compares what networks return in float32
def test_losses_and_gradients_of_the_first_step_are_near_in_float32_too():
    golden, records = run_three_steps("light", np.float32)
    assert_losses(records[0], golden.losses(1), rtol=1e-5)
    assert_gradients(golden, records[0])


def assert_gradients(golden: Golden, record: dict[str, Any]) -> None:
    grads = {name: record["g_grads"][d] for d, name in GENERATORS.items()}
    grads |= {name: record["d_grads"][d][s] for (d, s), name in DISCRIMINATORS.items()}
    for network, ours in grads.items():
        for name, value in in_their_layout(golden, network, ours).items():
            recorded, sampled = golden.gradient(network, name)
            if sampled:
                value = value[np.linspace(0, value.size - 1, 256).round().astype(np.int64)]
            difference = np.linalg.norm(value - recorded.reshape(-1))
            assert difference <= 1e-3 * np.linalg.norm(recorded), f"{network} {name}"


@pytest.mark.parametrize("case", CASES)
def test_rho_before_and_after_clipping_is_the_recorded_one(case):
    golden, records = run_three_steps(case)
    learning_rate, outside = golden.config.train.learning_rate, 0
    for n in STEPS:
        for direction, network in GENERATORS.items():
            recorded = golden.state_dict(f"rho_preclip/step{n}/{network}/")
            ours = in_their_layout(golden, network, records[n - 1]["before_clip"][direction])
            clipped = in_their_layout(golden, network, records[n - 1]["after"][0][direction])
            assert recorded
            for name, value in recorded.items():
                # Where a gradient is all but 0, Adam's steps are of an arbitrary sign.
                assert np.abs(ours[name] - value.reshape(-1)).mean() < 0.02 * n * learning_rate
                np.testing.assert_array_equal(clipped[name], np.clip(ours[name], 0, 1))
                outside += np.sum((value < 0) | (value > 1))
            for name in ours.keys() - recorded.keys():
                np.testing.assert_array_equal(clipped[name], ours[name])
    assert outside > 50


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("n", "tolerance"), [(1, 0.02), (3, 0.15)])
def test_parameters_after_the_steps_are_the_recorded_ones(case, n, tolerance):
    golden, records = run_three_steps(case)
    g, d = records[n - 1]["after"]
    networks = {name: g[direction] for direction, name in GENERATORS.items()}
    networks |= {name: d[domain][scale] for (domain, scale), name in DISCRIMINATORS.items()}
    for network, ours in networks.items():
        recorded = golden.state_dict(f"after{n}/{network}/")
        for name, value in in_their_layout(golden, network, ours).items():
            distance = np.abs(value - recorded[name].reshape(-1)).mean()
            assert distance < tolerance * golden.config.train.learning_rate, f"{network} {name}"


@pytest.mark.parametrize("case", json.loads((DATA / "pt_lr_schedule.json").read_text())["cases"])
def test_learning_rate_is_the_recorded_one_but_never_negative_nor_shifted(case):
    config = fields.get_config()
    config.train.steps, config.train.learning_rate = case["iteration"], case["lr0"]
    schedule = optimizer.learning_rate(config.train)
    # After a resume in the second half the original is a step ahead of itself for ever.
    shift = 1 if case["resume"] and case["start"] > case["iteration"] // 2 else 0
    for step, rate in case["lr"].items():
        ours = schedule(int(step) - 1 + shift)
        np.testing.assert_allclose(ours, max(rate, 0), rtol=1e-5, atol=1e-11)
    assert schedule(config.train.steps - 1) == 0


@pytest.mark.parametrize(("rule", "factor"), [("none", 1), ("sqrt", 4), ("linear", 16)])
def test_learning_rate_of_larger_batches(rule: str, factor: float) -> None:
    config = fields.get_config()
    assert config.train.learning_rate_scaling == "none"
    config.train.learning_rate_scaling, config.train.batch_size = rule, 16
    schedule = optimizer.learning_rate(config.train)
    for count in (0, 750_000):
        expected = factor * optimizer.learning_rate(fields.get_config().train)(count)
        np.testing.assert_allclose(schedule(count), expected, rtol=1e-6)


# --- The production step: one power iteration per update, real and fake in one call ------------


@pytest.fixture(scope="module")
def production() -> tuple[Golden, TrainState]:
    golden = Golden("light")
    params, other = golden.params("init")
    refresh = jax.jit(functools.partial(golden.method.refresh, ""))
    for _ in range(100):  # at converged vectors it does not matter how often they are iterated
        other = refresh(params, other)
    state = jax.eval_shape(creator(golden.config))
    return golden, jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state).replace(
        params=params, other=other
    )


def test_production_losses_and_gradients_are_those_of_call_by_call(production):
    golden, state = production
    method, batch, fakes = golden.method, golden.batch(1), golden.batch(2)
    loss = functools.partial(discriminator_loss_call_by_call, method)
    (total, (terms, _)), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        state.params["discriminators"], state.other, batch, fakes
    )
    empty = Translation(*[jnp.zeros(())] * len(Translation._fields))
    first = FirstPass(*(empty._replace(image=fakes[d]) for d in "ab"), empty, empty)
    discriminator, _ = method.players("train")

    @jax.jit
    def ours(params: Any, other: Any) -> Any:
        context = Context(batch, {}, (), method.refresh("", params, other), ())
        return gradients(discriminator, params, (first, None), context)

    our_grads, our_terms = ours(state.params, state.other)
    np.testing.assert_allclose(our_terms["total"], total, rtol=1e-5)
    for name, term in terms.items():
        np.testing.assert_allclose(our_terms[f"adversarial/{name}"], term, rtol=1e-4)
    for a, b in zip(*map(jax.tree.leaves, (our_grads["discriminators"], grads)), strict=True):
        assert np.linalg.norm(a - b) <= 1e-3 * np.linalg.norm(b)


def test_one_production_step(production):
    golden, state = production
    config = golden.config.copy_and_resolve_references()
    config.train.ema_decay = 0.9
    state = state.replace(
        ema={"generators": jax.tree.map(jnp.zeros_like, state.params["generators"])}
    )
    levels = {d: np.rint((x + 1) * 127.5).astype(np.uint8) for d, x in golden.batch(1).items()}
    lowered = jax.jit(plain_step(config)).lower(state, levels)
    after, metrics = lowered.compile()(state, levels)
    recorded = golden.losses(1)
    # The recorded discriminators had vectors that were not converged: near, not equal.
    expected = {"generator/cycle": recorded["G_recon_loss_A"] + recorded["G_recon_loss_B"]}
    expected["generator/cam"] = recorded["G_cam_loss_A"] + recorded["G_cam_loss_B"]
    expected["generator/identity"] = recorded["G_identity_loss_A"] + recorded["G_identity_loss_B"]
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5)
    assert after.step == 1
    rho = [
        value
        for path, value in flatten_dict(after.params["generators"]).items()
        if path[-1] == "rho"
    ]
    assert min(map(np.min, rho)) >= 0 and max(map(np.max, rho)) <= 1
    before_clip = golden.state_dict("rho_preclip/step1/genA2B/")
    assert min(x.min() for x in before_clip.values()) < 0  # so that this means something
    for ema, new in zip(
        *map(jax.tree.leaves, (after.ema["generators"], after.params["generators"])), strict=True
    ):
        np.testing.assert_allclose(ema, 0.1 * new, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("variant", ["", "light"])
def test_bfloat16_and_rectangles_leave_state_and_losses_in_float32(variant):
    config = fields.get_config(variant)
    config.dtype, config.data.image_size = "bfloat16", (96, 128)
    config.model.base_width, config.train.ema_decay = 8, 0.9
    state = jax.eval_shape(creator(config))
    picture = jax.ShapeDtypeStruct((2, 96, 128, 3), jnp.uint8)
    step = plain_step(config)
    after, metrics = jax.eval_shape(step, state, {"a": picture, "b": picture})
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    for value in [*jax.tree.leaves(after), *metrics.values()]:
        assert value.dtype in (jnp.float32, jnp.int32)


class Lottery(Method):
    """It tells what it has drawn."""

    def init(self, key: Any) -> Any:
        return {"generators": jnp.zeros(())}, {}

    def players(self, phase: str) -> tuple[Player, ...]:
        return (Player("player", ("generators",), self.loss),)

    def draw(self, key: Any, batch: Any) -> Any:
        return jax.random.uniform(key, (len(batch["a"]),))

    def loss(self, params: Any, first: Any, context: Context) -> Any:
        drawn = context.noise.mean()
        return params["generators"] * drawn, {"drawn": drawn}

    @classmethod
    def from_config(cls, config: Any, mapped: bool = False) -> Any: ...

    def translate(self, *args: Any, **kwargs: Any) -> Any: ...


@pytest.mark.parametrize("devices", [1, 8])
def test_what_a_step_draws_follows_from_seed_and_step_alone(devices: int) -> None:
    train = fields.get_config().train
    mesh = make_mesh(jax.devices()[:devices])
    state = create_state(Lottery(), train, seed=0)
    step = jax.jit(make_train_step(Lottery(), train, 3, mesh, "train"))
    for number in (5, 6):
        picture = np.zeros((8, 2, 2, 3), np.uint8)
        _, metrics = step(state.replace(step=jnp.int32(number)), {"a": picture, "b": picture})
        key = jax.random.fold_in(jax.random.key(3), number)
        expected = jax.random.uniform(key, (8,)).mean()
        np.testing.assert_allclose(metrics["player/drawn"], expected, rtol=1e-6)
