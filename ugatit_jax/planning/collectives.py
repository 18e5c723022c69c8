"""What the devices of a compiled program send each other, read from its text (HLO)."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import NamedTuple

from ugatit_jax.planning.hlo import count_runs, read_arrays, read_program

KINDS = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast"
COLLECTIVE = re.compile(rf"= (.+?) ({KINDS})(-start)?\(")
# Between TPU slices: the host sends and receives, and the runtime reduces.
BETWEEN_SLICES = re.compile(
    r"= (.+?) send\(.*_xla_megascale_target=\"\{([\d,]+)\}.*"
    r"_xla_megascale_transfer_type=\"([A-Z_]+)\""
)


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
        """Bytes that a chip sends in all `count` of them, at least.

        Reductions and gatherings go round in a ring; what is for one chip goes straight there.
        """
        share = (self.group - 1) / self.group
        by_kind = {"all-reduce": 2 * share, "collective-permute": 1.0, "collective-broadcast": 1.0}
        return self.count * self.bytes * by_kind.get(self.kind, share)


class Found(NamedTuple):
    """The collectives of a program, and whether it is known how often its loops run."""

    collectives: list[Collective]
    counted: bool
    has_loops: bool


def find_collectives(text: str) -> Found:
    """Return what a compiled program, `compiled.as_text()`, exchanges, merged by kind and group.

    What counts how often is said at `count_runs`.
    """
    program = read_program(text)
    runs = count_runs(program)
    header = text.partition("\n")[0]
    devices = math.prod(map(int, re.findall(r"(?:num_partitions|replica_count)=(\d+)", header)))
    found: dict[tuple[str, int, str], list[int]] = defaultdict(lambda: [0, 0])
    for function in program.values():
        now = runs.times[function.name]
        for instruction in function.instructions.values():
            if now and (exchange := _exchange(instruction.text, devices)):
                if function.name.startswith("all-reduce-scatter"):  # and each keeps a part
                    exchange = replace(exchange, kind="reduce-scatter")
                of_kind = found[exchange.kind, exchange.group, exchange.network]
                of_kind[0] += now
                of_kind[1] += now * exchange.bytes
    collectives = [
        Collective(kind, count, round(size / count), group, network)
        for (kind, group, network), (count, size) in sorted(found.items())
    ]
    return Found(collectives, runs.counted, runs.has_loops)


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
    return [array.bytes for array in read_arrays(shapes)]


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
