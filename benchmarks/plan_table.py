"""Plans of the light and the full network on each kind of TPU, as docs/plan.md. No TPU needed.

python -m benchmarks.plan_table --config=configs/default.py

Compiling takes 10 to 20 minutes a row on two cores. The command can be stopped at any time and
started again: what was compiled is kept. The table is written once all of its rows are known.
"""

import argparse
import datetime
import importlib.metadata
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from ugatit_jax.config.flags import add_experiment, parse_experiment
from ugatit_jax.console.errors import Parser, exit_on_input_error
from ugatit_jax.data.storage import write_atomically
from ugatit_jax.planning.chips import GIB, Chip
from ugatit_jax.planning.compiled_step import Figures, measure
from ugatit_jax.planning.roofline import EFFICIENCY, estimate, fits, wire_bytes
from ugatit_jax.planning.search import interruptible, prepare
from ugatit_jax.planning.topology import find_target

TOPOLOGIES = ("v5e:2x4", "v6e:2x4", "v4:2x2x1", "v5p:2x2x1")
NETWORKS = ("light", "full")
HEAD = f"""
| slice | network | pictures per chip | GiB per chip | of | fits | pictures, at most | TFLOP \
| GB in HBM | ms, at best | bound | MB sent | GB/s for {EFFICIENCY:.0%} | hours | chip-hours |
|---|---|---:|---:|---:|---|---:|---:|---:|---:|---|---:|---:|---:|---:|
"""


def plan_row(config: ConfigDict, topology: str, per_chip: int) -> str:
    """Return a row of the table, in Markdown; compiles the step if it never was before."""
    target = find_target(topology)
    config = config.copy_and_resolve_references()
    config.train.batch_size = per_chip * len(target.devices)
    config = prepare(config, target)
    figures = interruptible(lambda: measure(config, target, lambda text: None))
    assert target.chip is not None
    total, guess = figures.memory.total, estimate(figures, target.chip, config.train.steps)
    cells = [
        f"{len(target.devices)} × {topology}",
        "light" if config.model.light else "full",
        str(per_chip),
        "more" if total is None else f"{total / GIB:.2f}",
        f"{target.chip.hbm / GIB:.2f}",
        "yes" if fits(figures, target.chip) else "**no**",
        str(most_pictures(figures, target.chip, per_chip)),
        f"{figures.flops / 1e12:.3g}",
    ]
    if guess is None or figures.hbm_bytes is None:
        return f"| {' | '.join(cells)} |" + " |" * 7
    cells += [
        f"{figures.hbm_bytes / 1e9:.1f}",
        f"{guess.step * 1e3:.1f}",
        guess.bound,
        f"{wire_bytes(figures, 'ici') / 1e6:,.0f}",
        f"{guess.link_needed / 1e9:,.0f}",
        f"{guess.hours:.1f}",
        f"{guess.chip_hours:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def most_pictures(figures: Figures, chip: Chip, per_chip: int) -> int | str:
    """Return how many pictures a chip has room for, if they take room in proportion."""
    memory = figures.memory
    if memory.activations is None:
        return ""
    return int((chip.hbm - memory.state - memory.program) / memory.activations * per_chip)


def introduce(command: str, config: ConfigDict) -> str:
    """Return what is to be known before the table is read."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "libtpu"))
    size = "×".join(map(str, config.data.image_size))
    return f"""# What a training takes on TPUs

{datetime.date.today()} · {versions} · nothing was run: compiled ahead of time, without a TPU

`{command}`

{size} px, bfloat16. Every column is of one chip and one step, except the last two, which are of
{config.train.steps:,} steps.

- "Pictures, at most": per chip. Not compiled, unlike the memory before it, but a model: what is
  neither state nor program grows as the pictures do. That is too much for gradients, so there may
  be room for more; `config.train.remat` and `config.train.accumulate` make it.
- "GB in HBM": what the compiled program reads and writes in a chip's main memory. What stays in the
  memory on the chip does not count.
- "ms, at best" is arithmetic or memory at its peak, whichever takes longer, which is a bound, and
  exchanges after that, of which a compiler may hide some.
- "MB sent" do not depend on the number of pictures, but for the features of full networks.
- "GB/s for {EFFICIENCY:.0%}": the speed at which a chip has to send in a ring for exchanges to take
  no more than a tenth of the time. How a number of chips scales is to be read from it, not from
  virtual devices.

`python -m ugatit_jax.plan` prints all figures of a row, its assumptions, and settings that fit
where a row does not.
"""


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> None:
    """Write the table."""
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topologies", nargs="+", default=TOPOLOGIES)
    parser.add_argument("--per_chip", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--out", type=Path, default=Path("docs/plan.md"))
    add_experiment(parser)
    config, known = parse_experiment(
        parser, argv, "--topologies=KIND:AxB, --per_chip=N, --networks=light, --out=FILE"
    )
    text = introduce(f"python -m benchmarks.plan_table {shlex.join(argv)}", config) + HEAD
    for per_chip in known.per_chip:
        for network in known.networks:
            config.model.light = network == "light"
            for topology in known.topologies:
                row = plan_row(config, topology, per_chip)
                print(row, flush=True)
                text += row + "\n"
    write_atomically(known.out, text)


if __name__ == "__main__":
    main()
