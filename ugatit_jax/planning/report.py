"""A plan as text for people, and as a dict for programs."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.models import compute_dtype
from ugatit_jax.planning.chips import GIB, Chip
from ugatit_jax.planning.compiled_step import Figures
from ugatit_jax.planning.roofline import EFFICIENCY, Estimate, estimate, fits, wire_bytes
from ugatit_jax.planning.topology import Target


def describe(name: str, config: ConfigDict, target: Target, figures: Figures) -> str:
    """Return the report on a compiled step: lines of text."""
    lines = [_headline(name, config, target), "", *_memory(figures, target.chip)]
    lines += ["", *_work(figures, target.chip)]
    guess = estimate(figures, target.chip, config.train.steps) if target.chip else None
    if guess is not None:
        lines += ["", *_time(guess, figures)]
    lines += ["", "assumptions", *(f"  {line}" for line in _assumptions(figures, target, guess))]
    return "\n".join([*lines, "", _verdict(figures, target.chip)])


def summarize(changes: dict[str, Any], target: Target, figures: Figures) -> str:
    """Return one line on a step with other settings: what they are, memory, time, verdict."""
    words = " ".join(
        f"--{field}={value}" if field == "topology" else f"--config.{field}={value}"
        for field, value in changes.items()
    )
    assert target.chip is not None
    guess = estimate(figures, target.chip, steps=1)
    time = f", {guess.step * 1e3:.1f} ms per step" if guess else ""
    return f"{words}: {_verdict(figures, target.chip)}{time}"


def as_dict(name: str, config: ConfigDict, target: Target, figures: Figures) -> dict[str, Any]:
    """Return the figures, and what follows from them, as JSON can hold them."""
    result: dict[str, Any] = {
        "config": name,
        "topology": target.topology,
        "slices": target.slices,
        "chips": figures.chips,
        "batch_size": config.train.batch_size,
        "dtype": _dtype(config),
        "figures": dataclasses.asdict(figures),
        "wire_bytes": {network: wire_bytes(figures, network) for network in ("ici", "dcn")},
    }
    if target.chip is not None:
        result["chip"] = dataclasses.asdict(target.chip)
        result["fits"] = fits(figures, target.chip)
        if guess := estimate(figures, target.chip, config.train.steps):
            derived = ("step", "efficiency", "hours", "chip_hours")
            result["estimate"] = dataclasses.asdict(guess) | {
                name: getattr(guess, name) for name in derived
            }
    return result


def _headline(name: str, config: ConfigDict, target: Target) -> str:
    batch = config.train.batch_size
    return (
        f"{name} on {target}: batch {batch}, {batch / len(target.devices):g} per chip, "
        f"{'x'.join(map(str, config.data.image_size))} px, {_dtype(config)}"
    )


def _dtype(config: ConfigDict) -> str:
    return np.dtype(compute_dtype(config.dtype)).name


def _memory(figures: Figures, chip: Chip | None) -> Iterator[str]:
    memory = figures.memory
    yield "memory per chip, GiB"
    for what, size in (
        ("parameters", memory.parameters),
        ("optimiser", memory.optimizer),
        ("moving average", memory.ema),
        ("singular vectors, step", memory.other_state),
        ("activations, gradients, workspace", memory.activations),
        ("program", memory.program),
        ("total", memory.total),
    ):
        if size is not None and not (memory.refused and what == "program"):
            limit = f" of {chip.hbm / GIB:.2f}" if chip and what == "total" else ""
            yield f"  {what:<34}{size / GIB:8.3f}{limit}"


def _work(figures: Figures, chip: Chip | None) -> Iterator[str]:
    yield "work per chip and step"
    yield f"  {'matrix products, convolutions':<34}{_si(figures.flops)}FLOP"
    if figures.compiler_flops is not None:
        yield f"  {'all arithmetic, as XLA counts':<34}{_si(figures.compiler_flops)}FLOP"
    if figures.memory_bytes:
        by_xla = figures.hbm_bytes is None
        what = "memory traffic, as XLA counts" if by_xla else "read and written in HBM"
        yield f"  {what:<34}{_si(figures.memory_bytes)}B"
        balance = f"; the chip: {chip.flops / chip.hbm_bandwidth:.0f}" if chip else ""
        intensity = figures.flops / figures.memory_bytes
        yield f"  {'arithmetic intensity':<34}{intensity:.1f} FLOP/B{balance}"
    for each in figures.collectives:
        among = "slices" if each.network == "dcn" else "chips"
        what = f"{each.count} × {each.kind}, {each.group} {among}"
        size = f"{_si(each.count * each.bytes)}B; {_si(each.wire)}B sent"
        yield f"  {what:<34}{size}"
    if not figures.collectives and not figures.memory.refused:
        yield "  nothing is exchanged between chips"


def _time(guess: Estimate, figures: Figures) -> Iterator[str]:
    yield "time per step, at best"
    for what, seconds in (("arithmetic", guess.arithmetic), ("memory", guess.memory)):
        yield f"  {what:<34}{seconds * 1e3:8.2f} ms{' ← the bound' if what == guess.bound else ''}"
    yield f"  {'exchanges between chips':<34}{guess.ici * 1e3:8.2f} ms"
    if guess.dcn:
        yield f"  {'exchanges between slices':<34}{guess.dcn * 1e3:8.2f} ms"
    yield (
        f"  {'step':<34}{guess.step * 1e3:8.2f} ms, {guess.efficiency:.1%} of it without exchanges"
    )
    networks = [("links", guess.link_needed)]
    networks += [("network between slices", guess.dcn_needed)] if guess.dcn else []
    for what, needed in networks:
        yield f"  {f'{what}, for {EFFICIENCY:.0%}':<34}{_si(needed)}B/s per chip"
    yield (
        f"  {f'{guess.steps:,} steps'.replace(',', ' '):<34}{guess.hours:.1f} hours, "
        f"{guess.chip_hours:.0f} chip-hours"
    )


def _assumptions(figures: Figures, target: Target, guess: Estimate | None) -> Iterator[str]:
    chip = target.chip
    if chip is None:
        yield "no time: nothing is known of what this device can do at best"
    elif guess is not None:
        yield (
            f"{chip.name}: {_si(chip.flops)}FLOP/s in bfloat16, {_si(chip.hbm_bandwidth)}B/s of "
            f"memory, {_si(chip.ring)}B/s sent in a ring ({chip.source})"
        )
        yield "every unit at its peak, arithmetic beside memory: a bound"
        yield "exchanges after that, as if none ran beside other work: a compiler may hide some"
        yield "matrix units do the products; XLA's count adds what other units do"
        if target.slices > 1 and chip.dcn:
            yield f"between slices: {_si(chip.dcn)}B/s per chip, its share of the host's network"
    if figures.hbm_bytes is not None:
        yield "HBM: instructions read operands and write results once, as padded tiles"
        yield "what stays on the chip does not count, nor what is read again for another tile"
    elif figures.xla_bytes is not None:
        yield "memory traffic is XLA's: what each kernel reads and writes, whether cached or not"
        if figures.compiler_flops and figures.flops > figures.compiler_flops:
            yield "XLA counts a loop's body once: its memory traffic is scaled as the products are"
    if not figures.loops_counted:
        yield "how often a loop runs is not known: what it exchanges, and moves in HBM, counts once"
    yield "JAX gives a program one device per chip; the host keeps up with reading pictures"


def _verdict(figures: Figures, chip: Chip | None) -> str:
    total = figures.memory.total
    needed = "more" if total is None else f"{total / GIB:.2f} GiB"
    if chip is None:
        return f"takes {needed} per device"
    has = f"{chip.hbm / GIB:.2f} GiB"
    return f"{'fits' if fits(figures, chip) else 'DOES NOT FIT'}: {needed} of {has} per chip"


def _si(value: float) -> str:
    """Return three digits and a prefix: '2.35 T' for 2.35e12."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:  # what would be rounded to 1000 of the next lower
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.3g} "
