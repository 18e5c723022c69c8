"""What the devices of a compiled program send each other, read from its text (HLO)."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

KINDS = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast"
COLLECTIVE = re.compile(rf"= (.+?) ({KINDS})(-start)?\(")
# Between TPU slices: the host sends and receives, and the runtime reduces.
BETWEEN_SLICES = re.compile(
    r"= (.+?) send\(.*_xla_megascale_target=\"\{([\d,]+)\}.*"
    r"_xla_megascale_transfer_type=\"([A-Z_]+)\""
)
COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(")
CALL = re.compile(r"(?:calls|to_apply|body|condition|(?:true|false)_computation)=%?([\w.\-]+)")
CALLS = re.compile(r"(?:branch_computations|called_computations|calls)=\{([^}]*)\}")
SHAPE = re.compile(r"\b(pred|[a-z]+\d\w*)\[([\d,]*)\]")


@dataclass(frozen=True)
class Collective:
    """An exchange between chips, `count` times per run of the program."""

    kind: str
    count: int
    bytes: int  # the array that all of a group reduce, gather, …, as one chip has it in the end
    group: int  # chips that exchange; for network "dcn": slices
    network: str = "ici"  # "ici": the chips' own links; "dcn": the hosts' network between slices

    @property
    def wire(self) -> float:
        """Bytes that a chip sends in all `count` of them, when they go round in a ring."""
        share = (self.group - 1) / self.group
        by_kind = {"all-reduce": 2 * share, "collective-permute": 1.0, "collective-broadcast": 1.0}
        return self.count * self.bytes * by_kind.get(self.kind, share)


class Found(NamedTuple):
    """The collectives of a program, and whether it is known how often its loops run."""

    collectives: list[Collective]
    counted: bool
    has_loops: bool


class Computation(NamedTuple):
    """A function of a program: its instructions."""

    name: str
    is_entry: bool
    lines: list[str]


def find_collectives(program: str) -> Found:
    """Return what a compiled program, `compiled.as_text()`, exchanges, merged by kind and group.

    A collective in a loop counts as often as the loop runs; once, where that is not known. One
    that is taken apart to run beside other work counts once.
    """
    computations = list(_computations(program))
    header = program.partition("\n")[0]
    devices = math.prod(map(int, re.findall(r"(?:num_partitions|replica_count)=(\d+)", header)))
    by_name = {computation.name: computation for computation in computations}
    times: dict[str, int] = defaultdict(int)
    found: dict[tuple[str, int, str], list[int]] = defaultdict(lambda: [0, 0])
    counted, has_loops = True, False
    # Callers come after those that they call.
    for computation in reversed(computations):
        if computation.is_entry:
            times[computation.name] = 1
        now = times[computation.name]
        if not now:
            continue
        for line in computation.lines:
            trips = 1
            if " while(" in line:
                has_loops = True
                known = _trip_count(line, by_name)
                trips, counted = known or 1, counted and known is not None
            for callee in _callees(line):
                times[callee] += now * trips
            if exchange := _exchange(line, devices):
                of_kind = found[exchange.kind, exchange.group, exchange.network]
                of_kind[0] += now
                of_kind[1] += now * exchange.bytes
    collectives = [
        Collective(kind, count, round(size / count), group, network)
        for (kind, group, network), (count, size) in sorted(found.items())
    ]
    return Found(collectives, counted, has_loops)


def _computations(program: str) -> Iterator[Computation]:
    current = None
    for line in program.splitlines():
        if line.startswith(("%", "ENTRY")) and (match := COMPUTATION.match(line)):
            current = Computation(match[2], bool(match[1]), [])
        elif line.startswith("}") and current:
            yield current
            current = None
        elif current:
            current.lines.append(line)


def _callees(line: str) -> Iterator[str]:
    # The end of what runs asynchronously names the function that its start has called.
    if "=" not in line or re.search(r"-(?:done|update)\(", line):
        return
    yield from CALL.findall(line)
    for names in CALLS.findall(line):
        yield from re.findall(r"[\w.\-]+", names)


def _trip_count(line: str, by_name: dict[str, Computation]) -> int | None:
    if match := re.search(r"\"known_trip_count\":\{\"n\":\"(\d+)\"", line):
        return int(match[1])
    # TPU programs only have the condition, i < N for a scan, which starts at 0 in steps of 1.
    match = re.search(r"condition=%?([\w.\-]+)", line)
    condition = "\n".join(by_name[match[1]].lines) if match and match[1] in by_name else ""
    limits = re.findall(r"= s32\[\]\S* constant\((\d+)\)", condition)
    return int(limits[0]) if len(limits) == 1 and "direction=LT" in condition else None


def _exchange(line: str, devices: int) -> Collective | None:
    if "_xla_megascale_target" in line and (match := BETWEEN_SLICES.search(line)):
        shapes, slices, kind = match.groups()
        first = _sizes(shapes)[0]
        return Collective(
            kind.lower().replace("_", "-"), 1, first, len(slices.split(",")), network="dcn"
        )
    match = COLLECTIVE.search(line)
    if match is None:
        return None
    # Pieces of one collective, between those of other work; its start is marked by -1.
    if (flag := re.search(r"\"flag_start\":\"(-?\d+)\"", line)) and flag[1] != "-1":
        return None
    shapes, kind, start = match.groups()
    sizes = _sizes(shapes)
    if start and kind != "all-reduce":  # (inputs…, outputs…), maybe with u32[] for the hardware
        sizes = _sizes(re.sub(r"u32\[\]", "", shapes))
        sizes = sizes[len(sizes) // 2 :]
    group = _group_size(line, devices)
    total = sum(sizes) * (group if kind == "reduce-scatter" else 1)
    return Collective(kind, 1, total, group) if group > 1 else None


def _sizes(shapes: str) -> list[int]:
    """Return the bytes of every array in 'f32[2,3]{1,0}' or '(bf16[4], s8[])'."""
    return [_width(kind) * math.prod(map(int, filter(None, sides.split(",")))) // 8
            for kind, sides in SHAPE.findall(shapes)]  # fmt: skip


def _width(kind: str) -> int:
    """Bits of an element: 16 for bf16, 8 for pred, s8 and f8e4m3fn."""
    match = re.search(r"\d+", kind)
    return int(match[0]) if match else 8


def _group_size(line: str, devices: int) -> int:
    if match := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return len(match[1].split(","))
    if match := re.search(r"replica_groups=\[\d+,(\d+)\]<=", line):
        return int(match[1])
    if match := re.search(r"replica_groups=mesh\[([^\]]+)\] ?\{([^}]*)\}", line):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", match[1]))
        # 'axis', or a part of it: 'axis':(skipped)size
        axes = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", match[2])
        return math.prod(int(part or sizes[name]) for name, part in axes)
    return devices
