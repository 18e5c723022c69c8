"""Where the time, or the bytes, of a training step go, by layer and pass, beside the least needed.

python -m benchmarks.account --config=configs/default.py:light --config.train.batch_size=8 \
    --topology=v5e:2x4
JAX_PLATFORMS=cpu python -m benchmarks.account --config=configs/demo.py

With --topology: GB that the compiled program moves between one chip and its memory, and how many
instructions it runs, one after the other or beside each other. Without: ms
of this machine's processor by JAX's profiler, which on a CPU is best told of one core
(`taskset -c 0`), where no two operations run at once. (Where libtpu is installed and no TPU is,
the profiler crashes unless JAX is told what to look for.)

The least: every product reads its operands and writes its result once; an update of parameters
reads each with its gradient and two moments, and writes all but the gradient. Everything else is
taken to be free, fused into these. Of time, the products' FLOPs at the rate of a large matrix
product, or these bytes at the rate of a large copy, whichever takes longer; faster forms of a
convolution (Winograd) can be below.
"""

import argparse
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks.timing.step import Step, set_up_step
from ugatit_jax.config.flags import add_experiment, parse_experiment
from ugatit_jax.console.errors import Parser, exit_on_input_error
from ugatit_jax.devices.runtime import keep_freed_memory
from ugatit_jax.planning.ahead import optimize
from ugatit_jax.planning.flops import find_products
from ugatit_jax.planning.hbm import CALLERS, find_counted, is_free, moved_bytes
from ugatit_jax.planning.hlo import (
    Function,
    Instruction,
    Program,
    count_rounds,
    count_runs,
    read_program,
)
from ugatit_jax.planning.search import prepare
from ugatit_jax.planning.topology import find_target
from ugatit_jax.planning.traced_step import trace_step

PASSES = ("forward", "backward")
UPDATE_BYTES = 7 * 4  # of a parameter: it, its gradient and two moments in, all but one out
SMALL = 2**16  # bytes that an instruction moves, of which a chip's memory makes some 80 ns
ASYNCHRONOUS = ("-start", "-update", "-done")
STEPS = 3
OP_NAME = re.compile(r'op_name="(jit[^"]*)"')  # not that of an argument: "state.step"


class Place(NamedTuple):
    """Where in the step something is done."""

    part: str  # a network, or what is neither pass of any: "update discriminators"
    layer: str
    pass_: str  # of PASSES, or ""


def find_place(scope: str) -> Place:
    """Read the name of an operation: "jit(step)/transpose(jvp(Generator))/encoder_1/conv_0/add"."""
    match = re.search(r"(transpose\()?jvp\((\w*)\)+(?:/(.*))?", scope)
    if match is None:
        match = re.search(r"(?:^|/)(update/\w+|exchange|refresh)\b", scope)
        return Place(match[1].replace("/", " ") if match else "rest", "", "")
    backward, network, inside = match.groups()
    if not network[:1].isupper():  # what is not in a module
        return Place("losses", "", PASSES[bool(backward)])
    # Of a loop over blocks, and of the blocks in it.
    inside = re.sub(r"\b(while/body|closed_call|[A-Z]\w*)/", "", inside or "")
    modules = re.match(r"(?:(?!cond/|jit\()[a-z]\w*/)*", inside)
    first, *others = modules[0].split("/")[:2] if modules else [""]
    if first.startswith(("encoder", "decoder")):  # their blocks are all alike
        first = re.sub(r"_\d+$", "", first)
    layer = "/".join(filter(None, [first, *(re.sub(r"_\d+$", "", each) for each in others)]))
    return Place(network, layer or "between layers", PASSES[bool(backward)])


# --- The least ------------------------------------------------------------------------------------


def least(
    traced: jax.stages.Traced,
    params: dict[str, Any],
    devices: int,
    cost: Callable[[float, float], float],
) -> dict[Place, float]:
    """Return the least cost of a step by place, of one device; params: by group.

    cost: of FLOPs and bytes.
    """
    found: dict[Place, float] = defaultdict(float)
    for each in find_products(traced.jaxpr.jaxpr):
        share = each.times / devices
        found[find_place(f"{each.scope}/product")] += share * cost(each.flops, each.bytes)
    for group, of_group in params.items():
        size = sum(leaf.size for leaf in jax.tree.leaves(of_group))
        found[Place(f"update {group}", "", "")] += cost(0, UPDATE_BYTES * size)
    return found


# --- Bytes, by compiling --------------------------------------------------------------------------


def account_bytes(program: Program) -> dict[Place, float]:
    """Return the bytes of HBM that a TPU program moves, by place."""
    times = count_runs(program).times
    found: dict[Place, float] = defaultdict(float)
    scopes: dict[str, str] = {}  # of functions that are called
    for function in find_counted(program):
        users = find_users(function)
        for instruction in function.instructions.values():
            scope = scope_of(instruction, function, users) or scopes.get(function.name, "")
            scopes |= dict.fromkeys(instruction.callees(), scope)
            moved = times[function.name] * moved_bytes(instruction, function, program)
            if moved:
                found[find_place(scope)] += moved
    return found


def find_users(function: Function) -> dict[str, list[str]]:
    """Return who uses each instruction's result."""
    users: dict[str, list[str]] = defaultdict(list)
    for each in function.instructions.values():
        for operand in each.operands:
            users[operand].append(each.name)
    return users


def scope_of(instruction: Instruction, function: Function, users: dict[str, list[str]]) -> str:
    """Return the name that the program gave an operation; of a move, that of its first user."""
    while not (match := OP_NAME.search(instruction.attributes)):
        if not users[instruction.name]:
            return ""
        instruction = function.instructions[users[instruction.name][0]]
    return match[1]


# --- Instructions, by compiling -------------------------------------------------------------------


def count_instructions(program: Program) -> dict[str, int]:
    """Count what a TPU program runs, loops round by round, without new names for what there is.

    Returns, by a description: moves that go on beside other work, all the others, those of them
    that move few bytes of HBM, and the most that wait for each other.
    """
    times = count_runs(program).times
    beside = others = small = 0
    for function in find_counted(program):
        for each in function.instructions.values():
            if is_free(each) or is_call(each):
                continue
            if each.opcode.endswith(ASYNCHRONOUS):
                beside += times[function.name] * (not each.opcode.endswith("-done"))
                continue
            others += times[function.name]
            if moved_bytes(each, function, program) < SMALL:
                small += times[function.name]
    entry = next(each for each in program.values() if each.is_entry)
    return {
        "moves beside other work": beside,
        "all others": others,
        f"of these, below {SMALL >> 10} KiB": small,
        "the longest chain": longest_chain(entry, program),
    }


def is_call(instruction: Instruction) -> bool:
    """Tell whether an instruction is what it calls, and nothing beside."""
    return instruction.opcode in CALLERS and instruction.opcode != "async-start"


def longest_chain(function: Function, program: Program) -> int:
    """Return how many instructions of a function wait for each other at most."""
    length: dict[str, int] = {}
    for each in function.instructions.values():
        own = 0 if is_free(each) or each.opcode.endswith("-done") else 1
        if is_call(each):
            rounds = count_rounds(each, function, program) if each.opcode == "while" else 1
            inside = (longest_chain(program[name], program) for name in each.callees())
            own = (1 if rounds is None else rounds) * max(inside)
        length[each.name] = own + max((length[name] for name in each.operands), default=0)
    return max(length.values())


# --- Time, by running -----------------------------------------------------------------------------


def account_time(step: Step) -> tuple[dict[Place, float], float]:
    """Return seconds by place, and those of a whole step."""
    compiled = step.run.lower(*step.arguments).compile()
    program = read_program(compiled.as_text() or "")
    scopes = {
        name: OP_NAME.search(each.attributes)
        for function in program.values()
        for name, each in function.instructions.items()
    }
    state, *rest = step.arguments
    state, metrics = compiled(state, *rest)
    jax.block_until_ready(metrics)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            since = time.perf_counter()
            for _ in range(STEPS):
                state, metrics = compiled(state, *rest)
                jax.block_until_ready((state, metrics))
            whole = time.perf_counter() - since
        found: dict[Place, float] = defaultdict(float)
        for name, seconds in read_profile(Path(folder)):
            match = scopes.get(name)
            found[find_place(match[1] if match else "")] += seconds / STEPS
    return found, whole / STEPS


def read_profile(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield instructions that ran, and the seconds that they took."""
    for file in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                for event in line.events:
                    stats = dict(event.stats)
                    operation = str(stats.get("hlo_op", ""))
                    if operation and not operation.startswith(("call", "conditional", "while")):
                        yield operation, event.duration_ns / 1e9


def measure_rates() -> tuple[float, float]:
    """Return this machine's FLOP/s of a large float32 product, and bytes/s of a large copy."""

    def fastest(function: Callable[..., Any], *arguments: Any) -> float:
        run = jax.jit(function)
        run(*arguments).block_until_ready()
        times = []
        for _ in range(5):
            since = time.perf_counter()
            run(*arguments).block_until_ready()
            times.append(time.perf_counter() - since)
        return min(times)

    matrix, long = jnp.ones((2048, 2048)), jnp.ones(2**26)
    return 2 * 2048**3 / fastest(jnp.matmul, matrix, matrix), 2 * long.nbytes / fastest(
        lambda x: x + 1, long
    )


# --- The table ------------------------------------------------------------------------------------


def table(found: dict[Place, float], needed: dict[Place, float], unit: str, size: float) -> str:
    """Return the account in Markdown, parts and layers that take most first.

    size: of a unit. Layers that take less than a hundredth of all are told together.
    """
    columns = (*PASSES, "")
    total = sum(found.values())

    def amounts(of: dict[Place, float], rows: Sequence[Place]) -> list[float]:
        return [sum(of.get(row._replace(pass_=name), 0.0) for row in rows) for name in columns]

    def taken(rows: Sequence[Place]) -> float:
        return sum(amounts(found, rows))

    def line(name: str, rows: Sequence[Place]) -> str:
        pairs = list(zip(amounts(found, rows), amounts(needed, rows), strict=True))
        pairs.append((sum(had for had, _ in pairs), sum(least for _, least in pairs)))
        cells = (
            f"{had / size:.2f} ({least / size:.2f})" if had or least else "" for had, least in pairs
        )
        return f"| {name} | {' | '.join(cells)} |"

    parts: dict[str, list[Place]] = defaultdict(list)
    for row in sorted({place._replace(pass_="") for place in (*found, *needed)}):
        parts[row.part].append(row)
    lines = [f"| {unit} (least) | forward | backward | other | all |", "|---|---:|---:|---:|---:|"]
    for part, rows in sorted(parts.items(), key=lambda each: -taken(each[1])):
        large = sorted(
            (row for row in rows if taken([row]) >= total / 100), key=lambda row: -taken([row])
        )
        lines.append(line(f"**{part}**", rows))
        if len(rows) > 1:
            lines += [line(row.layer, [row]) for row in large]
            if small := [row for row in rows if row not in large]:
                lines.append(line("other layers", small))
    return "\n".join([*lines, line("**all**", [row for rows in parts.values() for row in rows])])


def print_bytes(config: ConfigDict, topology: str) -> None:
    """Print the account of a TPU's memory."""
    target = find_target(topology)
    config = prepare(config, target)
    step = trace_step(config, target)
    program = read_program(optimize(config, target).text)
    needed = least(step.traced, step.state.params, step.devices, lambda flops, moved: moved)
    print(table(account_bytes(program), needed, "GB", 1e9))
    counts = count_instructions(program).items()
    print(f"\ninstructions: {', '.join(f'{name} {count:,}' for name, count in counts)}")


def print_time(config: ConfigDict) -> None:
    """Print the account of this machine's time."""
    keep_freed_memory()
    step = set_up_step(config)
    flop_rate, byte_rate = measure_rates()
    print(f"{flop_rate / 1e9:.0f} GFLOP/s in a product, {byte_rate / 1e9:.1f} GB/s in a copy")
    needed = least(
        step.run.trace(*step.arguments),
        step.arguments[0].params,
        jax.device_count(),
        lambda flops, moved: max(flops / flop_rate, moved / byte_rate),
    )
    found, whole = account_time(step)
    print(f"{whole * 1e3:.0f} ms a step, {sum(found.values()) * 1e3:.0f} in its operations\n")
    print(table(found, needed, "ms", 1e-3))


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> None:
    """Print the account."""
    parser = Parser(
        prog="python -m benchmarks.account",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--topology", default="", help="a slice of TPUs, as `plan` takes it")
    add_experiment(parser)
    config, known = parse_experiment(
        parser, sys.argv[1:] if argv is None else argv, "--topology=SLICE"
    )
    if known.topology:
        print_bytes(config, known.topology)
    else:
        print_time(config)


if __name__ == "__main__":
    main()
