"""What chips send each other is read from the text of real programs, and from snippets of them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from ugatit_jax.planning.collectives import Collective, find_collectives

HEADER = "HloModule jit_step, is_scheduled=true, num_partitions=8"


def program(*lines: str) -> str:
    return "\n".join([HEADER, "", "ENTRY %main (p: f32[4]) -> f32[4] {", *lines, "}"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (  # a TPU's, with tiles and memory spaces
            "  %all-reduce.3 = (bf16[64]{0:T(256)(128)(2,1)}, f32[4,4,3,64]{3,2,1,0:T(4,128)S(1)}) "
            "all-reduce(%a, %b), channel_id=1, replica_groups=mesh['x'=2,'y'=4] {'y'}, to_apply=%r",
            Collective("all-reduce", 1, 64 * 2 + 4 * 4 * 3 * 64 * 4, 4),
        ),
        (
            "  %r = s8[6]{0} all-reduce(%a), replica_groups=mesh['x'=2,'y'=4] {'x','y':(1)2}",
            Collective("all-reduce", 1, 6, 4),
        ),
        (
            "  %g = pred[8,2]{1,0} all-gather(%a), replica_groups=[4,2]<=[8], dimensions={0}",
            Collective("all-gather", 1, 16, 2),
        ),
        (  # asynchronous: inputs, then outputs
            "  %s = ((bf16[2], f32[3]), (bf16[16], f32[24])) all-gather-start(%a, %b), "
            "replica_groups={}, dimensions={0}",
            Collective("all-gather", 1, 32 + 96, 8),
        ),
        ("  %d = f32[24] all-gather-done(%s)", None),
        (
            "  %s = (f32[10], f32[20]) all-reduce-start(%a, %b), replica_groups={{0,1,2},{3,4,5}}",
            Collective("all-reduce", 1, 120, 3),
        ),
        (
            "  %s = f32[5]{0} reduce-scatter(%a), replica_groups={{0,2},{1,3}}, dimensions={0}",
            Collective("reduce-scatter", 1, 40, 2),
        ),
        (
            "  %p = (f32[10]{0}, f32[10]{0}, u32[]{:S(2)}, u32[]{:S(2)}) "
            "collective-permute-start(%a), source_target_pairs={{0,4},{4,0}}",
            Collective("collective-permute", 1, 40, 8),
        ),
        (
            "  %g = f8e4m3fn[8] all-gather(%a), replica_groups={{0,1}}, backend_config="
            '{"async_collective_fusion_config":{"flag_start":"2","flag_end":"8"}}',
            None,  # a piece of one
        ),
        (
            "  %g = f8e4m3fn[8] all-gather(%a), replica_groups={{0,1}}, backend_config="
            '{"async_collective_fusion_config":{"flag_start":"-1","flag_end":"-1"}}',
            Collective("all-gather", 1, 8, 2),
        ),
        (
            "  %send.12 = (bf16[2,4,128]{2,1,0}, u32[], token[]) send(%b, %t), frontend_attributes="
            '{_xla_megascale_target="{1,2,3}x{0:7}",_xla_megascale_transfer_type="ALL_REDUCE"}',
            Collective("all-reduce", 1, 2048, 3, "dcn"),
        ),
        ("  %r = f32[9] all-reduce(%a), replica_groups={{0},{1},{2},{3}}", None),
        ('  %c = f32[9] copy(%all-reduce.3), metadata={op_name="all-reduce(x)"}', None),
    ],
)
def test_one_instruction(line: str, expected: Collective | None) -> None:
    found = find_collectives(program(line))
    assert found.collectives == ([expected] if expected else [])
    assert found.counted and not found.has_loops


@pytest.mark.parametrize(
    ("kind", "sent"),
    [("all-reduce", 150), ("all-gather", 75), ("all-to-all", 75), ("collective-permute", 100)],
)
def test_bytes_on_the_wire_are_those_of_a_ring(kind: str, sent: float) -> None:
    assert Collective(kind, 3, 100, 4).wire == 3 * sent


LOOP = """HloModule m, num_partitions=4

%body (x: (s32[], f32[4])) -> (s32[], f32[4]) {
  %x = (s32[], f32[4]) parameter(0)
  %i = s32[] get-tuple-element(%x), index=0
  %y = f32[4] get-tuple-element(%x), index=1
  %one = s32[] constant(1)
  %next = s32[] add(%i, %one)
  %r = f32[4] all-reduce(%y), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %both = (s32[], f32[4]) tuple(%next, %r)
}

%condition (x: (s32[], f32[4])) -> pred[] {
  %x = (s32[], f32[4]) parameter(0)
  %i = s32[] get-tuple-element(%x), index=0
  %limit = s32[]{:T(128)} constant(5)
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

%outer (x: f32[4]) -> f32[4] {
  %x = f32[4] parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], f32[4]) tuple(%zero, %x)
  %w = (s32[], f32[4]) while(%start), condition=%condition, body=%body
  ROOT %y = f32[4] get-tuple-element(%w), index=1
}

%start (x: f32[4]) -> f32[4] {
  ROOT %r = f32[4] all-reduce(%x), replica_groups={{0,1,2,3}}, to_apply=%add
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %a = ((f32[4]), f32[4], u32[]) async-start(%x), calls=%start
  %b = f32[4] async-done(%a), calls=%start
  ROOT %w = f32[4] while(%b), condition=%c, body=%outer, backend_config=KNOWN
}
"""


def test_loops_multiply_and_what_is_asynchronous_counts_once() -> None:
    known = find_collectives(LOOP.replace("KNOWN", '{"known_trip_count":{"n":"3"}}'))
    assert known == ([Collective("all-reduce", 1 + 3 * 5, 16, 4)], True, True)
    unknown = find_collectives(LOOP.replace("KNOWN", "{}"))
    assert unknown == ([Collective("all-reduce", 1 + 5, 16, 4)], False, True)


def test_an_all_reduce_of_which_each_chip_keeps_a_part_is_a_reduce_scatter() -> None:
    fused = "%all-reduce-scatter.1 (a: f32[96]) -> f32[24] {\n"
    line = "  %r = f32[96] all-reduce(%a), replica_groups={{0,1,2,3}}, to_apply=%add"
    called = "  %s = f32[24] fusion(%x), kind=kCustom, calls=%all-reduce-scatter.1"
    text = program(called).replace("ENTRY", f"{fused}{line}\n}}\n\nENTRY")
    assert find_collectives(text).collectives == [Collective("reduce-scatter", 1, 384, 4)]


def test_a_compiled_program() -> None:
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"))

    def exchange(x: jax.Array) -> jax.Array:
        gathered = jax.lax.all_gather(x, "model", tiled=True)
        scattered = jax.lax.psum_scatter(gathered, "data", tiled=True)
        turned = jax.lax.all_to_all(x, "model", 0, 1, tiled=True)
        moved = jax.lax.ppermute(x, "data", [(0, 1), (1, 0)])
        summed = jax.lax.fori_loop(0, 7, lambda i, y: jax.lax.psum(2 * y, "data"), x)
        return x + moved + summed + scattered.sum() + turned.sum()

    spec = P(("data", "model"))
    mapped = jax.shard_map(exchange, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    shape = jax.ShapeDtypeStruct((1024, 256), jnp.float32)
    found = find_collectives(jax.jit(mapped).lower(shape).compile().as_text())
    share = math.prod(shape.shape) * 4 // 8
    assert found == (
        [
            Collective("all-gather", 1, 4 * share, 4),
            Collective("all-reduce", 7, share, 2),
            Collective("all-to-all", 1, share, 4),
            Collective("collective-permute", 1, share, 8),
            Collective("reduce-scatter", 1, 4 * share, 2),
        ],
        True,
        True,
    )
