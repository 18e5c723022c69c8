"""What a training takes, before anything is rented: memory, time, exchanges, verdict.

python -m ugatit_jax.plan --config=configs/selfie2anime.py --topology=v5e:2x4
"""

import sys
from collections.abc import Sequence

from ugatit_jax.config.flags import add_experiment, parse_experiment
from ugatit_jax.console.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.console.numbers import whole_number
from ugatit_jax.planning.chips import KINDS


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit plan",
        description="Compile the training step for chips that need not be here, and say what it "
        "takes on them.",
        examples=(
            "ugatit plan --config=selfie2anime:light --config.train.batch_size=8 "
            "--topology=v5e:2x4",
            "ugatit plan --config=folder --topology=gpu --json",
        ),
        allow_abbrev=False,
    )
    add_experiment(parser)
    parser.add_argument("--topology", metavar="KIND:AxB", help=f"what to run on: {KINDS}")
    parser.add_argument(
        "--slices",
        type=whole_number(1, 1024),
        default=1,
        metavar="N",
        help="that many of them; default: 1",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 if the training does not fit."""
    config, known = parse_experiment(
        make_parser(),
        sys.argv[1:] if argv is None else argv,
        "--topology=KIND:AxB, --slices=N, --json",
    )
    if not known.topology:
        raise InputError(f"nothing to plan for: say --topology=, one of {KINDS}")
    # Not above: JAX takes seconds, in which a mistake would wait for its line.
    from ugatit_jax.planning.search import plan, prepare
    from ugatit_jax.planning.topology import find_target

    target = find_target(known.topology, known.slices)
    config = prepare(config, target)
    return plan(known.config, config, target, known.json)


if __name__ == "__main__":
    sys.exit(main())
