"""The traffic with main memory of small TPU programs is what is worked out by hand.

Arrays are larger than the memory on a chip (128 MiB) where they are not to stay there.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from ugatit_jax.devices.sharding import AXES, make_mesh, replicated
from ugatit_jax.planning.hbm import count_hbm_bytes
from ugatit_jax.planning.topology import find_target

MIB = 2**20
SCALARS = 4096  # bytes that may go into indices and counters


@pytest.fixture
def traffic(world_of_libtpu: None) -> Callable[..., int]:
    """A function that compiles another for 4 chips, and counts what one of them moves."""
    mesh = make_mesh(find_target("v5e:2x2").devices)

    def count(function: Callable[..., Any], *arguments: Any, donate: int | None = None) -> int:
        jitted = jax.jit(
            function,
            in_shardings=replicated(mesh),
            out_shardings=replicated(mesh),
            donate_argnums=() if donate is None else donate,
        )
        with jax.set_mesh(mesh):
            return count_hbm_bytes(jitted.lower(*arguments).compile().as_text())

    return count


def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


BIG = array(8192, 8192)  # 256 MiB
INDEX = array(dtype=jnp.int32)


def test_what_stays_on_the_chip_does_not_count(traffic: Callable[..., int]) -> None:
    def chain(a: jax.Array, b: jax.Array) -> jax.Array:
        for _ in range(20):
            a = a @ b
        return a

    once = 4 * MIB  # two arguments and the result
    assert traffic(chain, array(1024, 1024), array(1024, 1024)) == 3 * once


def test_arrays_are_read_and_written_once(traffic: Callable[..., int]) -> None:
    assert traffic(lambda a: 2 * a, BIG) == 2 * 256 * MIB
    assert traffic(lambda a: a.T, BIG) == 2 * 256 * MIB
    assert traffic(lambda a: a.copy(), BIG) == 2 * 256 * MIB
    assert traffic(lambda a: 2 * a, array(8192, 8192, dtype=jnp.bfloat16)) == 2 * 128 * MIB


def test_arrays_lie_in_whole_tiles(traffic: Callable[..., int]) -> None:
    # 3 rows where 4 go into a tile, and 100 columns where 128 do.
    assert traffic(lambda a: 2 * a, array(2**20, 3)) == 2 * 2**20 * 4 * 4
    assert traffic(lambda a: 2 * a, array(16, 16, 100)) == 2 * 16 * 16 * 128 * 4


def test_a_part_counts_as_a_part(traffic: Callable[..., int]) -> None:
    rows = 4 * MIB  # 128 of them
    assert traffic(lambda a: a[128:256], BIG) == 2 * rows
    assert traffic(lambda a: 2 * a[128:256], BIG) == 2 * rows
    assert traffic(lambda a: a[:128] + a[128:256], BIG) == 3 * rows
    taken = traffic(lambda a, i: 2 * lax.dynamic_slice(a, (i, 0), (128, 8192)), BIG, INDEX)
    assert 2 * rows <= taken <= 2 * rows + SCALARS


def test_what_is_replaced_in_place_counts_as_a_part(traffic: Callable[..., int]) -> None:
    rows, new = 2 * MIB, array(64, 8192)
    assert traffic(lambda a, b: a.at[128:192].set(2 * b), BIG, new, donate=0) == 2 * rows
    replaced = traffic(
        lambda a, b, i: lax.dynamic_update_slice(a, b, (i, 0)), BIG, new, INDEX, donate=0
    )
    assert 2 * rows <= replaced <= 2 * rows + SCALARS
    # An argument that its owner keeps is copied first.
    kept = traffic(lambda a, b: a.at[128:192].set(2 * b), BIG, new)
    assert kept == 2 * 256 * MIB + 2 * rows


def test_loops_count_as_often_as_they_go_round(traffic: Callable[..., int]) -> None:
    rounds = traffic(lambda a: lax.fori_loop(3, 10, lambda i, x: jnp.sin(x) + i, a), BIG, donate=0)
    assert 7 * 2 * 256 * MIB <= rounds <= 7 * 2 * 256 * MIB + 100 * SCALARS
    # Each round reads a part of what is scanned, twice: the carry is on the chip, and goes out.
    scanned = traffic(
        lambda a: lax.scan(lambda c, x: (c + jnp.sin(x), x.sum()), jnp.zeros((2048, 1024)), a),
        array(11, 2048, 1024),
    )
    assert 23 * 8 * MIB <= scanned <= 23 * 8 * MIB + 100 * SCALARS
    # Each round writes a part of what is stacked; the carry stays on the chip.
    stacked = traffic(
        lambda a: lax.scan(lambda c, _: (c + 1, jnp.sin(c)), a, None, length=6)[1],
        array(2048, 4096),
    )
    assert 7 * 32 * MIB <= stacked <= 7 * 32 * MIB + 100 * SCALARS


def test_what_chips_exchange_comes_from_memory_and_goes_there(
    traffic: Callable[..., int],
) -> None:
    def summed(a: jax.Array) -> jax.Array:
        return jax.shard_map(
            lambda x: lax.psum(x, "data"), in_specs=P(), out_specs=P(), check_vma=False
        )(a)

    assert traffic(summed, BIG) == 2 * 256 * MIB


# 4096 bytes in HBM, and on the chip.
A, CHIP = "f32[8,128]{1,0:T(8,128)}", "f32[8,128]{1,0:T(8,128)S(1)}"
HALF_ON_CHIP = "f32[4,128]{1,0:T(4,128)S(1)}"
PROGRAM = f"""HloModule m

%fused (p: f32[64,128], q: f32[8,128], i: s32[]) -> (f32[64,128], bf16[8,128]) {{
  %p = f32[64,128]{{1,0:T(8,128)}} parameter(0)
  %q = {A} parameter(1)
  %i = s32[]{{:T(128)S(6)}} parameter(2)
  %taken = bf16[8,128]{{1,0:T(8,128)(2,1)}} dynamic-slice(%p, %i, %i), dynamic_slice_sizes={{8,128}}
  %named = f32[64,128]{{1,0:T(8,128)}} bitcast(%p)
  %put = f32[64,128]{{1,0:T(8,128)}} dynamic-update-slice(%named, %q, %i, %i)
  ROOT %both = (f32[64,128]{{1,0:T(8,128)}}, bf16[8,128]) tuple(%put, %taken)
}}

%anew (i: s32[], q: f32[8,128]) -> f32[64,128] {{
  %i = s32[]{{:T(128)S(6)}} parameter(0)
  %made = f32[64,128]{{1,0:T(8,128)}} iota(), iota_dimension=0
  %q = {A} parameter(1)
  ROOT %put = f32[64,128]{{1,0:T(8,128)}} dynamic-update-slice(%made, %q, %i, %i)
}}

%inner (t: f32[8,128]) -> f32[4,128] {{
  %t = {A} parameter(0)
  ROOT %half = f32[4,128]{{1,0:T(4,128)}} slice(%t), slice={{[0:4], [0:128]}}
}}

%outer (s: f32[8,128]) -> f32[4,128] {{
  %s = {A} parameter(0)
  ROOT %half = f32[4,128]{{1,0:T(4,128)}} fusion(%s), kind=kLoop, calls=%inner
}}

%moved (r: f32[8,128]) -> f32[8,128] {{
  %r = {A} parameter(0)
  ROOT %out = {A} negate(%r)
}}

ENTRY %main (a: f32[8,128], b: f32[64,128], i: s32[]) -> f32[8,128] {{
  %a = {A} parameter(0)
  %b = f32[64,128]{{1,0:T(8,128)}} parameter(1)
  %c = {CHIP} parameter(2)
  %i = s32[]{{:T(128)S(6)}} parameter(3)
  %both = ({A}, {CHIP}) parameter(4)
  ROOT %it = LINE
}}
"""


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (f"{A} negate(%a)", 8192),
        (f"{A} multiply(%a, %a)", 8192),
        (f"{CHIP} multiply(%a, %c)", 4096),
        (f"{CHIP} negate(%c)", 0),
        (f"{A} get-tuple-element(%both), index=0", 0),
        (f"({A}, {CHIP}) tuple(%a, %c)", 0),
        ("f32[1024]{0:T(1024)} bitcast(%a)", 0),
        # To the chip, from it, and from one place in memory to another.
        (f"({CHIP}, {A}, u32[]{{:S(2)}}) copy-start(%a), cross_program_prefetch_index=0", 4096),
        (f"({A}, {CHIP}, u32[]{{:S(2)}}) copy-start(%c)", 4096),
        (f"({A}, {A}, u32[]{{:S(2)}}) copy-start(%a)", 8192),
        (f"{A} copy-done(%both)", 0),
        (f"(({A}), {HALF_ON_CHIP}, s32[]{{:S(2)}}) slice-start(%a), slice={{[0:4]}}", 2048),
        (f"{HALF_ON_CHIP} slice-done(%both)", 0),
        (
            f"((f32[64,128]{{1,0:T(8,128)}}, s32[], s32[]), {CHIP}, s32[]{{:S(2)}}) "
            "dynamic-slice-start(%b, %i, %i), dynamic_slice_sizes={8,128}",
            4096,
        ),
        (f'{A} custom-call(), custom_call_target="AllocateBuffer"', 0),
        (f'{A} custom-call(%a, %a), custom_call_target="ConcatBitcast"', 0),
        (f'{A} custom-call(%a), custom_call_target="tpu_custom_call"', 8192),
        (f"{A} dynamic-slice(%b, %i, %i), dynamic_slice_sizes={{8,128}}", 8192),
        ("f32[64,128]{1,0:T(8,128)} dynamic-update-slice(%b, %c, %i, %i)", 4096),
        ("f32[64,128]{1,0:T(8,128)} dynamic-update-slice(%b, %a, %i, %i)", 8192),
        # A part of b is read, q is read, and put into b; the part, converted, is written.
        (
            "(f32[64,128]{1,0:T(8,128)}, bf16[8,128]{1,0:T(8,128)(2,1)}) fusion(%b, %a, %i), "
            "kind=kLoop, calls=%fused",
            4096 + 4096 + 4096 + 2048,
        ),
        # What a part is put into is no argument: all of it is written.
        ("f32[64,128]{1,0:T(8,128)} fusion(%i, %a), kind=kLoop, calls=%anew", 9 * 4096),
        (f"{HALF_ON_CHIP} fusion(%a), kind=kLoop, calls=%outer", 2048),
        (f"(({A}), {A}, u32[]) async-start(%a), calls=%moved", 8192),
        (f"{A} async-done(%both), calls=%moved", 0),
        (f"{A} call(%a), to_apply=%moved", 8192),
        (f"{A} conditional(%i, %a, %a), branch_computations={{%moved, %moved}}", 2 * 8192),
        (f"{A} all-reduce(%a), replica_groups={{}}, to_apply=%moved", 8192),
        (f"{A} all-reduce-start(%a), replica_groups={{}}, to_apply=%moved", 8192),
        (f"(({A}), (f32[64,128]{{1,0:T(8,128)}})) all-gather-start(%a), dimensions={{0}}", 36864),
        (f"({A}, {CHIP}, u32[]{{:S(2)}}) collective-permute-start(%a)", 4096),
        (f"({A}, u32[], token[]) send(%a, %i), is_host_transfer=true", 4096),
    ],
)
def test_one_instruction(line: str, moved: int) -> None:
    assert count_hbm_bytes(PROGRAM.replace("LINE", line)) == moved


def test_an_exchange_beside_other_work_counts_once(world_of_libtpu: None) -> None:
    def gather_and_multiply(
        share: jax.Array, x: jax.Array, w: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        whole = lax.all_gather(share, AXES, tiled=True)
        for _ in range(4):
            x = jnp.tanh(x @ w)
        return whole.sum(1), x

    mesh = make_mesh(find_target("v5e:2x2").devices)
    mapped = jax.shard_map(
        gather_and_multiply,
        mesh=mesh,
        in_specs=(P(AXES), P(), P()),
        out_specs=(P(), P()),
        check_vma=False,
    )
    x = array(4096, 4096, dtype=jnp.bfloat16)  # 32 MiB
    text = jax.jit(mapped).lower(array(16384, 4096), x, x).compile().as_text()
    assert "AsyncCollectiveDone" in text
    gathered = 64 + 256 + 256  # the share is read, the whole written and read again
    multiplied = 32 + 4 * (32 + 32)  # w stays on the chip
    expected = (gathered + multiplied) * MIB + 4 * 16384
    assert expected <= count_hbm_bytes(text) <= expected + SCALARS
