"""A compiled program, `compiled.as_text()`, taken apart: functions, instructions, loops, arrays."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

# "%fused_computation.3 (param_0.5: f32[8,128]) -> f32[8,128] {", "ENTRY %main.4 (…) -> … {"
HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(")
# "  ROOT %name = SHAPE opcode(OPERANDS), ATTRIBUTES". A shape may have spaces, but no " word(", and
# operands may have parentheses, but no ")," with a space after it.
INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*?)\)(?:, (.*))?$")
# What an instruction runs: "calls=%f", "body=%f", "branch_computations={%f, %g}", …
CALL = re.compile(r"\b(?:calls|to_apply|body|condition|(?:true|false)_computation)=%?([\w.\-]+)")
CALLS = re.compile(r"\b(?:branch_computations|called_computations|calls)=\{([^}]*)\}")
# "bf16[4,3]", "f32[]", maybe with a layout, "{1,0:T(8,128)(2,1)S(1)}": dimensions from the minor to
# the major one, then tiles and memory space among others.
ARRAY = re.compile(r"\b(pred|[a-z]+\d\w*)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
TILES = re.compile(r"T((?:\([\d,]+\))+)")
SPACE = re.compile(r"(?<![A-Z])S\((\d+)\)")


class Array(NamedTuple):
    """An array of a program as it lies in memory."""

    kind: str  # of an element: "f32"
    sides: list[int]
    minor_to_major: list[int]  # dimensions; empty where the program does not say
    tiles: list[list[int]]  # the second one splits the first one's tiles, and so on
    space: int  # 0: the main memory

    @property
    def bits(self) -> int:
        """Bits of an element: 16 for bf16, 8 for pred, s8 and f8e4m3fn."""
        match = re.search(r"\d+", self.kind)
        return int(match[0]) if match else 8

    @property
    def bytes(self) -> int:
        """Bytes of the elements."""
        return self.bits * math.prod(self.sides) // 8

    @property
    def padded_bytes(self) -> int:
        """Bytes of the tiles that the elements lie in."""
        order = self.minor_to_major or range(len(self.sides))[::-1]
        sides = [self.sides[dimension] for dimension in reversed(order)]
        for tile in self.tiles:
            sides = [1] * (len(tile) - len(sides)) + sides
            whole, split = sides[: -len(tile)], sides[-len(tile) :]
            counts = [-(-side // of_tile) for side, of_tile in zip(split, tile, strict=True)]
            sides = whole + counts + tile
        return self.bits * math.prod(sides) // 8


def read_arrays(shape: str) -> list[Array]:
    """Return the arrays of "f32[2,3]{1,0}", or all of "(bf16[4], (s8[], pred[2]))"."""

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",") if number]

    arrays = []
    for kind, sides, order, rest in ARRAY.findall(shape):
        tiles, space = TILES.search(rest), SPACE.search(rest)
        split = [numbers(tile) for tile in tiles[1][1:-1].split(")(")] if tiles else []
        arrays.append(
            Array(kind, numbers(sides), numbers(order), split, int(space[1]) if space else 0)
        )
    return arrays


class Instruction(NamedTuple):
    """One line of a function."""

    name: str
    is_root: bool
    shape: str  # of the result; `read_arrays` reads it
    opcode: str
    operands: list[str]  # names of instructions of the same function
    attributes: str
    text: str  # the whole line

    def attribute(self, name: str) -> str:
        """Return the value of "index=3", without the mark of "body=%f" or 'target="f"'; or ""."""
        match = re.search(rf"\b{name}=[%\"]?([\w.\-]+)", self.attributes)
        return match[1] if match else ""

    def callees(self) -> Iterator[str]:
        """Yield the names of the functions that it runs."""
        # The end of what runs asynchronously names the function that its start has called.
        if self.opcode.endswith(("-done", "-update")):
            return
        yield from CALL.findall(self.attributes)
        for names in CALLS.findall(self.attributes):
            yield from re.findall(r"[\w.\-]+", names)


class Function(NamedTuple):
    """A function of a program; HLO calls it a computation."""

    name: str
    is_entry: bool
    instructions: dict[str, Instruction]

    @property
    def root(self) -> Instruction:
        """The instruction whose result is the function's."""
        return next(each for each in self.instructions.values() if each.is_root)

    def parameter(self, number: int) -> Instruction:
        """Return a parameter by its number."""
        ending = f" parameter({number})"
        return next(each for each in self.instructions.values() if ending in each.text)

    def origin(self, name: str) -> Instruction:
        """Return the instruction of that name, or what it is a copy of."""
        found = self.instructions[name]
        while found.opcode in ("copy", "bitcast"):
            found = self.instructions[found.operands[0]]
        return found


Program = dict[str, Function]  # by name; those that are called come before those that call them


class Runs(NamedTuple):
    """How often the functions of a program run, and whether that is known of all loops."""

    times: dict[str, int]
    counted: bool
    has_loops: bool


def read_program(text: str) -> Program:
    """Return the functions of a compiled program."""
    program: Program = {}
    current: dict[str, Instruction] | None = None
    for line in text.splitlines():
        if line.startswith(("%", "ENTRY")) and (match := HEAD.match(line)):
            current = {}
            program[match[2]] = Function(match[2], bool(match[1]), current)
        elif line.startswith("}"):
            current = None
        elif current is not None and (match := INSTRUCTION.match(line)):
            root, name, shape, opcode, operands, attributes = match.groups()
            names = re.findall(r"%([\w.\-]+)", operands)
            current[name] = Instruction(
                name, bool(root), shape, opcode, names, attributes or "", line
            )
    return program


def count_runs(program: Program) -> Runs:
    """Count how often each function runs while the program runs once.

    A loop's as often as the loop goes round, once where that is not known; every branch of a
    condition; what is taken apart to run beside other work once.
    """
    times: dict[str, int] = defaultdict(int)
    counted, has_loops = True, False
    for function in reversed(program.values()):
        if function.is_entry:
            times[function.name] = 1
        now = times[function.name]
        if not now:
            continue
        for instruction in function.instructions.values():
            rounds = 1
            if instruction.opcode == "while":
                has_loops = True
                known = count_rounds(instruction, function, program)
                counted = counted and known is not None
                rounds = 1 if known is None else known
            for callee in instruction.callees():
                times[callee] += now * rounds
    return Runs(times, counted, has_loops)


def count_rounds(loop: Instruction, caller: Function, program: Program) -> int | None:
    """Return how often a loop of `caller` goes round; None: it is not known before it runs."""
    if match := re.search(r"\"known_trip_count\":\{\"n\":\"(\d+)\"", loop.attributes):
        return int(match[1])
    # TPU programs do not say it. What goes round is a tuple, and one of its elements counts.
    try:
        condition, body = (program[loop.attribute(name)] for name in ("condition", "body"))
        counter, limit = (condition.origin(name) for name in condition.root.operands)
        index = int(counter.attribute("index"))
        first = caller.origin(caller.origin(loop.operands[0]).operands[index])
        addition = body.origin(body.root.operands[index])
        before, step = (body.origin(name) for name in addition.operands)
    except (KeyError, IndexError, ValueError):
        return None
    forms = condition.root.attribute("direction"), addition.opcode, before.attribute("index")
    start, end, by = (_whole_number(each) for each in (first, limit, step))
    if forms != ("LT", "add", str(index)) or start is None or end is None or not by or by < 0:
        return None
    return max(0, -(-(end - start) // by))


def _whole_number(instruction: Instruction) -> int | None:
    match = re.search(r" [su]\d+\[\]\S* constant\((-?\d+)\)", instruction.text)
    return int(match[1]) if match else None
