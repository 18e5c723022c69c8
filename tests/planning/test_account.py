"""The account of a step says where small programs' bytes and time go, as worked out by hand."""

import os
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

from benchmarks import account
from benchmarks.account import Place
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.planning.hlo import read_program
from ugatit_jax.planning.topology import find_target

MIB = 2**20
UPDATE, REFRESH = Place("update generators", "", ""), Place("refresh", "", "")


@pytest.mark.parametrize(
    ("scope", "place"),
    [
        ("jit(step)/jvp(Generator)/up_0/norm/mul", Place("Generator", "up_0/norm", "forward")),
        (
            "jit(step)/shard_map/transpose(jvp(Generator))/encoder_1/conv_0/cond/branch_0_fun/add",
            Place("Generator", "encoder/conv", "backward"),
        ),
        (
            "jit(step)/jvp(Generator)/encoder/while/body/closed_call/ResidualBlock/norm_1/div",
            Place("Generator", "encoder/norm", "forward"),
        ),
        (
            "jvp(Generator)/decoder/ResidualBlock/conv_0/product",
            Place("Generator", "decoder/conv", "forward"),
        ),
        ("jvp(Discriminator)/conv_5/div", Place("Discriminator", "conv_5", "forward")),
        (
            "jit(step)/jvp(Discriminator)/jit(leaky_relu)/ge",
            Place("Discriminator", "between layers", "forward"),
        ),
        ("jit(step)/transpose(jvp())/add", Place("losses", "", "backward")),
        ("jit(step)/shard_map/update/generators/add", UPDATE),
        ("refresh/dot_general", REFRESH),
        ("jit(step)/add", Place("rest", "", "")),
    ],
)
def test_an_operation_has_its_place(scope: str, place: Place) -> None:
    assert account.find_place(scope) == place


def test_bytes_are_told_by_place(world_of_libtpu: None) -> None:
    def step(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        with jax.named_scope("update/generators"):
            updated = a - b
        with jax.named_scope("refresh"):
            return updated, jnp.sin(b)

    mesh = make_mesh(find_target("v5e:2x2").devices)
    big = jax.ShapeDtypeStruct((8192, 8192), jnp.float32)  # larger than the memory on a chip
    with jax.set_mesh(mesh):
        jitted = jax.jit(step, in_shardings=replicated(mesh), out_shardings=replicated(mesh))
        found = account.account_bytes(read_program(jitted.lower(big, big).compile().as_text()))
    # One loop may do both, and is then told by its last operation.
    assert sum(found.values()) in (4 * 256 * MIB, 5 * 256 * MIB)
    assert set(found) <= {UPDATE, REFRESH}


def in_a_loop(x: jax.Array, b: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 12, lambda _, x: x @ b, x)


def apart(x: jax.Array, b: jax.Array) -> tuple[jax.Array, ...]:
    return tuple((x + i) @ b for i in range(12))


@pytest.mark.parametrize(("function", "chain"), [(in_a_loop, range(12, 50)), (apart, range(1, 5))])
def test_instructions_are_counted_and_how_many_wait_for_each_other(
    world_of_libtpu: None, function: Callable[..., object], chain: range
) -> None:
    mesh = make_mesh(find_target("v5e:2x2").devices)
    shape = jax.ShapeDtypeStruct((256, 256), jnp.float32)
    with jax.set_mesh(mesh):
        jitted = jax.jit(function, in_shardings=replicated(mesh), out_shardings=replicated(mesh))
        found = account.count_instructions(
            read_program(jitted.lower(shape, shape).compile().as_text())
        )
    assert 12 <= found["all others"] < 64  # twelve products; a loop counts, compares and copies
    assert found["the longest chain"] in chain


def test_the_least_of_products_and_updates() -> None:
    def step(x: jax.Array) -> jax.Array:
        with jax.named_scope("refresh"):
            return jnp.sin(x) @ jnp.ones((16, 32))

    traced = jax.jit(step).trace(jnp.ones((8, 16)))
    params = {"generators": {"kernel": jnp.ones((3, 5))}}
    flops = account.least(traced, params, 1, lambda flops, moved: flops)
    moved = account.least(traced, params, 1, lambda flops, moved: moved)
    assert flops == {REFRESH: 2 * 8 * 16 * 32, UPDATE: 0}
    assert moved == {REFRESH: 4 * (8 * 16 + 16 * 32 + 8 * 32), UPDATE: 7 * 4 * 15}


TIMED = """
import jax, jax.numpy as jnp
from benchmarks import account

def step(x):
    with jax.named_scope("update/generators"):
        x = x @ x / 1000
    return x, x.sum()

state = jnp.ones((1000, 1000))
found, whole = account.account_time(account.Step(jax.jit(step), (state,)))
print(found[account.Place("update generators", "", "")], sum(found.values()), whole)
"""


def test_time_is_told_by_place() -> None:
    # In a process of its own: JAX's profiler crashes where libtpu is loaded and there is no TPU.
    process = subprocess.run(
        [sys.executable, "-c", TIMED],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    update, operations, whole = map(float, process.stdout.split())
    assert 0.5 * operations < update <= operations <= whole  # one after the other
