"""Arrays and loops are read from a program's text as they are written there."""

import pytest

from ugatit_jax.planning.hlo import count_runs, read_arrays, read_program


@pytest.mark.parametrize(
    ("shape", "elements", "padded", "space"),
    [
        ("f32[]", 4, 4, 0),
        ("f32[5,3]", 60, 60, 0),
        ("f32[5,3]{1,0}", 60, 60, 0),
        ("s32[]{:T(128)}", 4, 128 * 4, 0),
        ("f32[11]{0:T(128)S(1)}", 44, 128 * 4, 1),
        ("f32[1000]{0:T(1024)}", 4000, 4096, 0),
        ("f32[10,130]{1,0:T(8,128)}", 5200, 16 * 256 * 4, 0),
        ("f32[10,130]{0,1:T(8,128)}", 5200, 136 * 128 * 4, 0),  # the first one is the minor one
        ("f32[65536,3]{0,1:T(4,128)}", 65536 * 12, 65536 * 16, 0),
        ("f32[7,7,3,64]{3,1,2,0:T(8,128)S(1)}", 7 * 7 * 3 * 256, 7 * 3 * 8 * 128 * 4, 1),
        ("bf16[6,200]{1,0:T(8,128)(2,1)}", 2400, 8 * 256 * 2, 0),
        ("bf16[3,5,5]{0,2,1:T(2,128)(2,1)S(1)}", 150, 5 * 6 * 128 * 2, 1),
        ("bf16[300]{0:T(256)(128)(2,1)}", 600, 512 * 2, 0),
        ("pred[8,33]{0,1:T(8,128)(4,1)}", 264, 40 * 128, 0),
        ("f8e4m3fn[8]", 8, 8, 0),
        ("s4[7,128]{1,0:T(8,128)(8,1)E(4)}", 448, 512, 0),
        ("f32[2,2]{1,0:T(2,128)SC(1:1)}", 16, 2 * 128 * 4, 0),  # a split, no space
        ("u32[]{:S(2)}", 4, 4, 2),
    ],
)
def test_an_array_lies_in_whole_tiles(shape: str, elements: int, padded: int, space: int) -> None:
    (array,) = read_arrays(shape)
    assert (array.bytes, array.padded_bytes, array.space) == (elements, padded, space)


def test_all_arrays_of_a_tuple() -> None:
    shape = "((f32[4,4]{1,0:T(4,128)}), bf16[8]{0:T(128)S(1)}, /*index=2*/(s8[], token[]))"
    assert [(array.kind, array.sides, array.space) for array in read_arrays(shape)] == [
        ("f32", [4, 4], 0),
        ("bf16", [8], 1),
        ("s8", [], 0),
    ]


LOOP = """HloModule m

%body (x: (s32[], f32[4])) -> (s32[], f32[4]) {
  %x = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%x), index=0
  %scalar = s32[]{:T(128)S(6)} copy(%i)
  %one = s32[]{:T(128)} constant(STEP)
  %next = s32[]{:T(128)} add(%scalar, %one)
  %a = f32[4]{0} get-tuple-element(%x), index=1
  ROOT %both = (s32[]{:T(128)}, f32[4]{0}) tuple(%next, %a)
}

%condition (y: (s32[], f32[4])) -> pred[] {
  %limit = s32[]{:T(128)} constant(11)
  %y = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %j = s32[]{:T(128)} get-tuple-element(%y), index=0
  ROOT %lt = pred[]{:T(512)} compare(%j, %limit), direction=LT
}

ENTRY %main (p: s32[], x: f32[4]) -> f32[4] {
  %p = s32[]{:T(128)} parameter(0)
  %a = f32[4]{0} parameter(1)
  %first = s32[]{:T(128)} constant(FIRST)
  %copy = s32[]{:T(128)} copy(%first)
  %start = (s32[]{:T(128)}, f32[4]{0}) tuple(%copy, %a)
  %loop = (s32[]{:T(128)}, f32[4]{0}) while(%start), condition=%condition, body=%body
  ROOT %b = f32[4]{0} get-tuple-element(%loop), index=1
}
"""


@pytest.mark.parametrize(
    ("first", "step", "rounds"), [(0, 1, 11), (3, 2, 4), (10, 5, 1), (11, 1, 0), (-4, 3, 5)]
)
def test_a_loop_goes_round_from_its_start_in_steps(first: int, step: int, rounds: int) -> None:
    text = LOOP.replace("FIRST", str(first)).replace("STEP", str(step))
    runs = count_runs(read_program(text))
    assert runs.counted and runs.has_loops
    assert runs.times == {"main": 1, "body": rounds, "condition": rounds}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("copy(%first)", "copy(%p)"),  # it starts where an argument says
        ("%one = s32[]{:T(128)} constant(STEP)", "%one = s32[]{:T(128)} negate(%i)"),
        ("constant(11)", "negate(%j)"),
        ("direction=LT", "direction=NE"),
        ("add(%scalar, %one)", "multiply(%scalar, %one)"),
        ("constant(STEP)", "constant(-1)"),
        ("copy(%i)", "get-tuple-element(%x), index=2"),
        ("tuple(%copy, %a)", "custom-call()"),
    ],
)
def test_a_loop_of_another_form_counts_once_and_says_so(old: str, new: str) -> None:
    assert old in LOOP
    text = LOOP.replace(old, new).replace("FIRST", "0").replace("STEP", "1")
    runs = count_runs(read_program(text))
    assert not runs.counted and runs.has_loops and runs.times["body"] == 1


def test_instructions() -> None:
    program = read_program(LOOP)
    assert list(program) == ["body", "condition", "main"]
    assert program["main"].is_entry and not program["body"].is_entry
    root = program["body"].root
    assert (root.name, root.opcode, root.operands) == ("both", "tuple", ["next", "a"])
    loop = program["main"].instructions["loop"]
    assert list(loop.callees()) == ["condition", "body"]
    assert loop.attribute("body") == "body" and loop.attribute("index") == ""
    assert program["main"].parameter(1).name == "a"
    assert program["body"].origin("scalar").name == "i"
