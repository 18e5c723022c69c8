"""The least time that a step can take on a chip, and what follows from it.

A bound, no prediction: arithmetic at its peak, or memory at its peak, whichever takes longer. What
the chips exchange comes on top, as if nothing else were done meanwhile, although a compiler can
hide some of it.
"""

from dataclasses import dataclass

from ugatit_jax.planning.chips import Chip
from ugatit_jax.planning.compiled_step import Figures

EFFICIENCY = 0.9  # that the links are asked for


@dataclass(frozen=True)
class Estimate:
    """Seconds per step, at best, and what a training of so many steps takes at that rate."""

    arithmetic: float
    memory: float
    ici: float  # exchanges over the chips' own links
    dcn: float  # and between slices
    steps: int
    chips: int
    link_needed: float  # bytes per second in a ring, for an efficiency of EFFICIENCY
    dcn_needed: float  # and of a chip's share of the network between slices

    @property
    def compute(self) -> float:
        """Seconds per step of a chip that waits for no other."""
        return max(self.arithmetic, self.memory)

    @property
    def bound(self) -> str:
        """What the chip is busy with all that time: "arithmetic" or "memory"."""
        return "arithmetic" if self.arithmetic > self.memory else "memory"

    @property
    def step(self) -> float:
        """Seconds per step."""
        return self.compute + self.ici + self.dcn

    @property
    def efficiency(self) -> float:
        """Share of the time that is not spent on exchanges."""
        return self.compute / self.step

    @property
    def hours(self) -> float:
        """Hours of the training."""
        return self.step * self.steps / 3600

    @property
    def chip_hours(self) -> float:
        """Hours times chips."""
        return self.hours * self.chips


def wire_bytes(figures: Figures, network: str) -> float:
    """Return the bytes that a chip sends per step over the network "ici" or "dcn"."""
    return sum(each.wire for each in figures.collectives if each.network == network)


def estimate(figures: Figures, chip: Chip, steps: int) -> Estimate | None:
    """Return the least time of a step and of a training; None for a program that was refused."""
    if figures.memory_bytes is None:
        return None
    ici, dcn = (wire_bytes(figures, network) for network in ("ici", "dcn"))
    arithmetic, memory = figures.flops / chip.flops, figures.memory_bytes / chip.hbm_bandwidth
    left_for_exchanges = max(arithmetic, memory) * (1 / EFFICIENCY - 1)
    return Estimate(
        arithmetic=arithmetic,
        memory=memory,
        ici=ici / chip.ring,
        dcn=dcn / chip.dcn if chip.dcn else 0.0,
        steps=steps,
        chips=figures.chips,
        link_needed=ici / left_for_exchanges,
        dcn_needed=dcn / left_for_exchanges,
    )


def fits(figures: Figures, chip: Chip) -> bool:
    """Say whether a step has room in a chip's memory."""
    memory = figures.memory
    return not memory.refused and memory.total is not None and memory.total <= chip.hbm
