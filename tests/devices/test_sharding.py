"""Eight devices compute what one does, and talk no more than they need to."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict
from steps import compile_step, first_state, mesh_of

from ugatit_jax.config.checks import check_config
from ugatit_jax.devices import sharding
from ugatit_jax.devices.sharding import (
    AXES,
    create_on,
    make_mesh,
    map_in_batches,
    place_batch,
    replicated,
)
from ugatit_jax.inference.mapped import MappedTranslation, places_of
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs import checkpoints

Result = tuple[str, TrainState, dict[str, jax.Array]]


def test_the_mesh_is_of_all_devices_or_the_given_ones() -> None:
    assert dict(make_mesh().shape) == {"data": 8, "model": 1}
    some = jax.devices()[3:5]
    assert make_mesh(some).devices.ravel().tolist() == some


def test_a_batch_is_split_in_order_without_conversion() -> None:
    pictures = np.arange(16 * 2 * 2 * 3, dtype=np.uint8).reshape(16, 2, 2, 3)
    batch = place_batch({"a": pictures, "b": 255 - pictures}, make_mesh())
    assert batch["b"].dtype == np.uint8
    np.testing.assert_array_equal(batch["b"], 255 - pictures)
    for i, shard in enumerate(batch["a"].addressable_shards):
        assert shard.device == jax.devices()[i]
        np.testing.assert_array_equal(shard.data, pictures[2 * i : 2 * i + 2])


def test_a_state_is_on_every_device() -> None:
    state = create_on(make_mesh(), lambda: {"x": jnp.arange(3.0)})
    assert [shard.device for shard in state["x"].addressable_shards] == jax.devices()
    for shard in state["x"].addressable_shards:
        np.testing.assert_array_equal(shard.data, [0, 1, 2])


@pytest.mark.parametrize("count", [0, 1, 8, 16, 19])
def test_items_are_mapped_in_batches_of_one_shape(count: int) -> None:
    shapes, mesh = [], make_mesh()

    def apply(factor: jax.Array, batch: jax.Array) -> dict[str, jax.Array]:
        shapes.append(batch.shape)  # once per compilation
        return {"product": factor * batch, "sum": batch.sum((1, 2))}

    jitted = jax.jit(apply, out_shardings=replicated(mesh))
    items = [np.full((2, 3), i, np.float32) for i in range(count)]
    factor = jax.device_put(2.0, replicated(mesh))
    results = list(map_in_batches(jitted, factor, iter(items), 9, mesh))
    assert len(results) == count and shapes == [(16, 2, 3)] * bool(count)
    for item, result in zip(items, results, strict=True):
        np.testing.assert_array_equal(result["product"], 2 * item)
        assert result["sum"] == item.sum()


def run_step(config: ConfigDict, devices: list[jax.Device]) -> Result:
    """The program of a training step, and what it makes of the first state and a batch of noise."""
    check_config(config, len(devices))
    mesh = mesh_of(config, devices)
    state = first_state(config, mesh)
    rng = np.random.default_rng(0)
    shape = (config.train.batch_size, *config.data.image_size, 3)
    noise = {domain: rng.integers(0, 256, shape, dtype=np.uint8) for domain in ("a", "b")}
    batch = place_batch(noise, mesh)
    step = compile_step(config, mesh, state, batch)
    return (step.as_text(), *step(state, batch, ()))


@pytest.fixture(scope="module", autouse=True)
def small_ones_are_shared() -> Iterator[None]:
    """Let devices share what is as small as the tests' networks are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SMALLEST_SHARED", 2**8)
        yield


@pytest.fixture(scope="module")
def full_config(tiny_config: Callable[[], ConfigDict]) -> Callable[[], ConfigDict]:
    """Of generators whose first dense layer the devices share."""

    def config() -> ConfigDict:
        config = tiny_config()
        config.model.light = False
        return config

    return config


@pytest.fixture(scope="module")
def of_one(full_config: Callable[[], ConfigDict]) -> Result:
    return run_step(full_config(), jax.devices()[:1])


@pytest.fixture(scope="module")
def of_eight(full_config: Callable[[], ConfigDict]) -> Result:
    return run_step(full_config(), jax.devices())


@pytest.fixture(scope="module")
def in_parts(full_config: Callable[[], ConfigDict]) -> Result:
    """On 2 × 2 devices, a picture at a time, and with most activations computed twice."""
    config = full_config()
    config.mesh.model, config.train.accumulate, config.train.remat = 2, 2, "convolutions"
    return run_step(config, jax.devices()[:4])


# Of other methods, tests/methods/test_every_method.py goes through in parts.
@pytest.mark.parametrize("how", ["of_eight", pytest.param("in_parts", marks=pytest.mark.thorough)])
def test_losses_and_gradients_are_those_of_one_device(
    how: str, of_one: Result, request: pytest.FixtureRequest
) -> None:
    _, state, metrics = request.getfixturevalue(how)
    _, state_of_one, metrics_of_one = of_one
    assert metrics.keys() == metrics_of_one.keys()
    for name, value in metrics_of_one.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    # Adam's first moment after the first step is the gradient times 1 - beta1; the parameters
    # themselves say less: Adam's first step has the same length whatever the gradient's.
    for group in ("generators", "discriminators"):
        ours, of_one_device = gradients(state, group), gradients(state_of_one, group)
        assert len(of_one_device) > 20
        for name, gradient in of_one_device.items():
            length = np.linalg.norm(gradient)
            assert length > 0, name
            assert np.linalg.norm(ours[name] - gradient) < 1e-4 * length, name


def gradients(state: TrainState, group: str) -> dict[str, np.ndarray]:
    moments = state.optimizers[group][1].mu
    leaves = jax.tree_util.tree_flatten_with_path(moments)[0]
    return {jax.tree_util.keystr(path): np.asarray(value) for path, value in leaves}


def test_kernels_are_shared_with_their_moments_and_averages(of_eight: Result) -> None:
    state = of_eight[1]
    adam = state.optimizers["generators"][1]
    assert state.ema is not None
    for tree in (state.params["generators"], adam.mu, adam.nu, state.ema["generators"]):
        kernel = tree["a2b"]["mlp"]["fc_0"]["kernel"]
        assert kernel.shape == (1024, 16)
        rows = [shard.index[0].indices(1024)[:2] for shard in kernel.addressable_shards]
        assert sorted(rows) == [(i, i + 128) for i in range(0, 1024, 128)]
        assert tree["b2a"]["up_0"]["norm"]["rho"].is_fully_replicated
        kernel = tree["b2a"]["mlp"]["fc_1"]["kernel"]
        assert [shard.data.shape for shard in kernel.addressable_shards] == [(2, 16)] * 8


def test_a_checkpoint_of_eight_devices_comes_back_on_one(
    of_eight: Result, of_one: Result, full_config: Callable[[], ConfigDict], tmp_path: Path
) -> None:
    config, method = full_config(), build_method(full_config())
    with checkpoints.open_checkpoints(tmp_path, config.checkpoint) as manager:
        checkpoints.save(manager, method, of_eight[1])
    with checkpoints.open_checkpoints(tmp_path, config.checkpoint) as manager:
        restored = checkpoints.restore(manager, method, of_one[1], tmp_path)
    pairs = zip(jax.tree.leaves(restored), jax.tree.leaves(of_eight[1]), strict=True)
    for ours, saved in pairs:
        np.testing.assert_array_equal(ours, saved)
        assert ours.devices() == {jax.devices()[0]}


def test_what_is_shared_translates_as_it_does_on_one_device(
    of_eight: Result, full_config: Callable[[], ConfigDict]
) -> None:
    method, state, mesh = build_method(full_config(), mapped=True), of_eight[1], make_mesh(model=8)
    pictures = list(np.random.default_rng(1).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32))
    translation = MappedTranslation(method, mesh, places_of(method, state, mesh))
    weights = method.select(state.best(method), "a2b")
    found = [picture for picture, _ in translation.of_items(weights, pictures, "a2b")]
    whole = jax.device_put(jax.device_get(weights), jax.devices()[0])
    alone, _ = build_method(full_config()).translate(whole, jnp.stack(pictures), "a2b")
    np.testing.assert_allclose(np.stack(found), alone, atol=1e-5)


@pytest.mark.parametrize("bound", [1.0, 1e9])
def test_a_gradient_in_shares_is_bounded_as_a_whole_one(bound: float) -> None:
    rng, mesh = np.random.default_rng(0), make_mesh(model=2)
    tree = {name: rng.normal(size=(16, 32)).astype(np.float32) for name in "xyz"}
    places = {"x": sharding.share((16, 32), 8), "y": P("model"), "z": P()}
    assert places["x"] == P(AXES)
    bounded = jax.shard_map(
        lambda tree: sharding.bound_norm(tree, places, bound),
        mesh=mesh,
        in_specs=(places,),
        out_specs=places,
        check_vma=False,
    )(tree)
    expected, _ = optax.clip_by_global_norm(bound).update(tree, optax.EmptyState())
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), bounded, expected)


def test_norms_of_shares_are_those_of_whole_trees() -> None:
    rng, mesh = np.random.default_rng(0), make_mesh(model=2)
    tree = {name: rng.normal(size=(16, 32)).astype(np.float32) for name in "xyz"}
    places = {"x": sharding.share((16, 32), 8), "y": P("model"), "z": P()}
    for names in ("xyz", "z", "xy"):
        trees = [{name: part[name] for name in names} for part in (tree, places)]
        found = jax.shard_map(
            lambda tree, places=trees[1]: sharding.norms({"all": (tree, places)}),
            mesh=mesh,
            in_specs=(trees[1],),
            out_specs=P(),
            check_vma=False,
        )(trees[0])
        np.testing.assert_allclose(found["all"], optax.tree.norm(trees[0]), rtol=1e-6)


def test_how_many_devices_share_it_follows_from_config_and_devices(
    full_config: Callable[[], ConfigDict], tiny_config: Callable[[], ConfigDict]
) -> None:
    config = full_config()
    assert dict(mesh_of(config).shape) == {"data": 1, "model": 8}
    assert dict(mesh_of(config, jax.devices()[:6]).shape) == {"data": 3, "model": 2}
    config.mesh.model = 4
    assert dict(mesh_of(config).shape) == {"data": 2, "model": 4}
    assert dict(mesh_of(tiny_config()).shape) == {"data": 8, "model": 1}


def collectives(program: str) -> list[tuple[str, int]]:
    """Kind and number of elements of every exchange between devices in a compiled program."""
    kinds = (
        "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
    )
    found = re.findall(rf"= (.+?) ({kinds})(?:-start)?\(", program)
    return [(kind, count_elements(shapes)) for shapes, kind in found]


def count_elements(shapes: str) -> int:
    sizes = re.findall(r"[a-z]\w*\[([\d,]*)\]", shapes)
    return sum(int(np.prod([int(n) for n in size.split(",") if n])) for size in sizes)


def test_a_step_exchanges_parameters_gradients_and_losses_and_what_the_first_dense_layer_needs(
    of_eight: Result, of_one: Result
) -> None:
    assert collectives(of_one[0]) in ([], [("all-reduce", 1)])  # whether a step is finite
    program, state, metrics = of_eight
    found: dict[str, list[int]] = {}
    for kind, size in collectives(program):
        found.setdefault(kind, []).append(size)
    dense = 2 * 1024 * 16  # the kernels of the generators' first dense layers stay where they are
    pictures = [
        1,
        1,
        2,
        2,
    ]  # that each of these sees: 2 per device in the first pass, 1 on the way back
    shared, copied = {}, {}
    for group, params in state.params.items():
        leaves = jax.tree.leaves(params)
        copied[group] = sum(leaf.size for leaf in leaves if leaf.is_fully_replicated)
        shared[group] = sum(leaf.size for leaf in leaves) - copied[group]
    shared["generators"] -= dense
    assert min(shared.values()) > max(copied.values()) > 0
    # Gradients are averaged once per move, those of shares where these are; merging and taking
    # apart halves of a batch must not show up here, nor that gradients are made in two passes.
    assert len(found["all-reduce"]) <= 4
    reduced = sum(copied.values())
    assert reduced < sum(found["all-reduce"]) <= reduced + len(metrics)
    scattered = sum(shared.values()) // 8 + 16 * sum(pictures)
    assert sum(found["reduce-scatter"]) == scattered
    # Shares are sent when the step begins; the discriminators' once more when they have moved.
    sent = shared["generators"] + 2 * shared["discriminators"]
    assert sum(found["all-gather"]) == sent + 8 * 16 * sum(pictures)
    forward_and_backward = sorted(1024 * n for n in 2 * pictures)
    assert sorted(found["all-to-all"]) == forward_and_backward
    assert len(found) == 4
