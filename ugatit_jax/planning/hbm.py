"""What a TPU program reads and writes in its chip's main memory (HBM), counted in its text.

XLA's own "bytes accessed" also counts what never leaves the chip. The text says where each array
lies: `S(1)` in its layout is memory on the chip, and there are other numbers, such as the host's.
An instruction reads each of its operands once and writes its results once, as they lie in memory,
with padded tiles; one that takes a part of an array, or replaces a part in place, moves that part.
"""

import re
from collections.abc import Iterator

from ugatit_jax.planning.hlo import (
    Array,
    Function,
    Instruction,
    Program,
    count_runs,
    read_arrays,
    read_program,
)

HBM = 0  # the memory space that layouts do not mention
# These run functions that count on their own. Others run functions, too, on elements or tiles.
CALLERS = ("while", "conditional", "call", "async-start")
# These move nothing: values of the program, and new names for what there is.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
        "opt-barrier", "add-dependency", "partition-id", "replica-id")  # fmt: skip
# Nor do these custom calls: room for results to come; neighbours, as one array.
FREE_TARGETS = ("AllocateBuffer", "ConcatBitcast")
TAKE = ("slice", "dynamic-slice", "gather")  # a part of the first operand
REPLACE = "dynamic-update-slice"  # a part of the first operand, which becomes the result
# Inside a fusion one of these goes on beside its work: what it moves counts at its start.
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
DONE = "AsyncCollectiveDone"
# "output_to_operand_aliasing={{2}: (0, {}), …": a result that is an operand, maybe changed in place
ALIAS = re.compile(r"\{(\d*)\}: \((\d+), \{\}\)")


def count_hbm_bytes(text: str) -> int:
    """Return the bytes that a TPU program, `compiled.as_text()`, reads and writes in HBM.

    How often loops and branches count is said at `count_runs`.
    """
    program = read_program(text)
    times = count_runs(program).times
    return sum(
        times[function.name] * moved_bytes(instruction, function, program)
        for function in find_counted(program)
        for instruction in function.instructions.values()
    )


def find_counted(program: Program) -> Iterator[Function]:
    """Yield the functions whose instructions count: the program's own and those of its loops."""
    names: set[str] = set()
    for function in reversed(program.values()):
        if function.is_entry or function.name in names:
            yield function
            for instruction in function.instructions.values():
                if instruction.opcode in CALLERS:
                    names.update(instruction.callees())


def is_free(instruction: Instruction) -> bool:
    """Tell whether an instruction does nothing when the program runs."""
    target = instruction.attribute("custom_call_target")
    return instruction.opcode in FREE or target in FREE_TARGETS


def moved_bytes(instruction: Instruction, function: Function, program: Program) -> int:
    """Return what an instruction of a function reads and writes in HBM when it runs once."""
    opcode = instruction.opcode
    # What runs beside other work counts at its start.
    if is_free(instruction) or opcode in CALLERS or opcode.endswith(("-done", "-update")):
        return 0
    read = sum(
        _read(instruction, name, array, program)
        for name in dict.fromkeys(instruction.operands)
        for array in read_arrays(function.instructions[name].shape)
        if array.space == HBM
    )
    written = sum(
        _written(instruction, index, array, function, program)
        for index, array in enumerate(_results(instruction))
        if array.space == HBM
    )
    return read + written


def _kind(instruction: Instruction) -> str:
    return instruction.opcode.removesuffix("-start")


def _results(instruction: Instruction) -> list[Array]:
    """Return what an instruction writes; its shape may hold its operands and flags, too."""
    arrays = read_arrays(instruction.shape)
    if instruction.opcode == "send":  # (operand, flag, token)
        return []
    if instruction.opcode == "copy-start":  # (result, operand, flag)
        return arrays[:1]
    if instruction.opcode.endswith("-start") and instruction.opcode != "all-reduce-start":
        return arrays[len(instruction.operands) :]  # ((operands…), results…, flags…)
    return arrays


def _read(user: Instruction, name: str, whole: Array, program: Program) -> int:
    """Return the bytes that an instruction reads of one of its operands."""
    is_first_only = name not in user.operands[1:]
    if _kind(user) in TAKE and is_first_only:
        part = _results(user)[0]._replace(kind=whole.kind)  # in a fusion it may be another
        return min(whole.padded_bytes, part.padded_bytes)
    if _kind(user) == REPLACE and is_first_only:
        return 0
    if _kind(user) == "fusion":
        fused = program[user.attribute("calls")]
        stays = _aliases(user).values()
        read = sum(
            _read_inside(
                fused,
                fused.parameter(number),
                whole,
                0 if number in stays else whole.padded_bytes,
                program,
            )
            for number, operand in enumerate(user.operands)
            if operand == name
        )
        return min(whole.padded_bytes, read)
    return whole.padded_bytes


def _read_inside(
    fused: Function, value: Instruction, whole: Array, as_result: int, program: Program
) -> int:
    """Return the bytes that a fusion reads of a parameter, or of another name of it.

    as_result: what it reads where the value is the fusion's result.
    """
    read = as_result if value.is_root else 0
    for user in fused.instructions.values():
        if value.name not in user.operands or _goes_on_beside(user):
            continue
        if user.opcode == "tuple":
            read += as_result
        elif user.opcode == "bitcast":
            read += _read_inside(fused, user, whole, as_result, program)
        elif user.opcode == REPLACE and value.name == user.operands[0]:
            read += _read_inside(fused, user, whole, 0, program)  # the rest stays where it is
        else:
            read += _read(user, value.name, whole, program)
    return read


def _written(
    instruction: Instruction, index: int, whole: Array, function: Function, program: Program
) -> int:
    """Return the bytes that an instruction writes of one of its results."""
    if _kind(instruction) == REPLACE:
        return _size(function, instruction.operands[1])
    if _kind(instruction) == "fusion":
        fused = program[instruction.attribute("calls")]
        name = fused.root.operands[index] if fused.root.opcode == "tuple" else fused.root.name
        made = _made_inside(fused, name)
        if index not in _aliases(instruction):
            made = made or whole.padded_bytes  # a parameter from end to end: a copy
        return min(whole.padded_bytes, made)
    return whole.padded_bytes


def _goes_on_beside(inside: Instruction) -> bool:
    return inside.opcode in COLLECTIVES or inside.attribute("custom_call_target") == DONE


def _aliases(fusion: Instruction) -> dict[int, int]:
    """Return which results of a fusion are which of its operands, by their numbers."""
    pairs = fusion.attributes.partition("output_to_operand_aliasing=")[2].partition(", calls=")[0]
    return {int(result or 0): int(operand) for result, operand in ALIAS.findall(pairs)}


def _made_inside(fused: Function, name: str) -> int:
    """Return how many bytes of a value are not those of one of the function's parameters."""
    value = fused.instructions[name]
    if value.opcode == "parameter" or _goes_on_beside(value):
        return 0
    if value.opcode == "bitcast":
        return _made_inside(fused, value.operands[0])
    if value.opcode == REPLACE:
        return _made_inside(fused, value.operands[0]) + _size(fused, value.operands[1])
    return _size(fused, name)


def _size(function: Function, name: str) -> int:
    return sum(array.padded_bytes for array in read_arrays(function.instructions[name].shape))
