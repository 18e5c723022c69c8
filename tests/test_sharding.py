"""Eight devices compute what one does, and talk no more than they need to."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from ugatit_jax.sharding import create_on, make_mesh, map_in_batches, place_batch, replicated
from ugatit_jax.train import compile_train_step
from ugatit_jax.train_step import TrainState, create_state

Result = tuple[str, TrainState, dict[str, jax.Array]]


def test_the_mesh_has_one_axis_over_all_devices_or_the_given_ones() -> None:
    assert dict(make_mesh().shape) == {"data": 8}
    some = jax.devices()[3:5]
    assert make_mesh(some).devices.tolist() == some


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


def run_step(config: ConfigDict, mesh: Mesh) -> Result:
    """The program of a training step, and what it makes of the first state and a batch of noise."""
    state = create_on(mesh, lambda: create_state(config))
    rng = np.random.default_rng(0)
    shape = (config.train.batch_size, *config.data.image_size, 3)
    noise = {domain: rng.integers(0, 256, shape, dtype=np.uint8) for domain in ("a", "b")}
    batch = place_batch(noise, mesh)
    step = compile_train_step(config, mesh, state, batch)
    return (step.as_text(), *step(state, batch))


@pytest.fixture(scope="module")
def of_eight(tiny_config: Callable[[], ConfigDict]) -> Result:
    return run_step(tiny_config(), make_mesh())


@pytest.fixture(scope="module")
def of_one(tiny_config: Callable[[], ConfigDict]) -> Result:
    return run_step(tiny_config(), make_mesh(jax.devices()[:1]))


def test_losses_are_those_of_one_device(of_eight: Result, of_one: Result) -> None:
    eight, one = jax.device_get((of_eight[2], of_one[2]))
    assert eight.keys() == one.keys()
    for name, value in one.items():
        np.testing.assert_allclose(eight[name], value, rtol=1e-5, err_msg=name)


def test_gradients_are_those_of_one_device(of_eight: Result, of_one: Result) -> None:
    # Adam's first moment after the first step is the gradient times 1 - beta1; the parameters
    # themselves say less: Adam's first step has the same length whatever the gradient's.
    for network in ("generator", "discriminator"):
        eight, one = (gradients(state, network) for _, state, _ in (of_eight, of_one))
        assert len(one) > 20
        for name, gradient in one.items():
            length = np.linalg.norm(gradient)
            assert length > 0, name
            assert np.linalg.norm(eight[name] - gradient) < 1e-4 * length, name


def gradients(state: TrainState, network: str) -> dict[str, np.ndarray]:
    moments = getattr(state, f"{network}_optimizer")[1].mu
    leaves = jax.tree_util.tree_flatten_with_path(moments)[0]
    return {jax.tree_util.keystr(path): np.asarray(value) for path, value in leaves}


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


def count_parameters(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_a_step_reduces_gradients_and_losses_and_exchanges_nothing_else(
    of_eight: Result, of_one: Result
) -> None:
    assert collectives(of_one[0]) == []
    program, state, _ = of_eight
    found = collectives(program)
    assert {kind for kind, _ in found} == {"all-reduce"}
    # The discriminators' gradients, the generators' as their two passes (first and cycle) make
    # them, and the losses. Merging and taking apart real and fake halves must not show up here.
    assert len(found) <= 4  # 3 today: XLA merges what is ready at the same time
    gradients = count_parameters(state.discriminators) + 2 * count_parameters(state.generators)
    assert gradients <= sum(size for _, size in found) < 1.01 * gradients
