"""Lay runs side by side: scores, curves, what differs, the same pictures row by row.

    python -m ugatit_jax.compare RUN_DIR… --out=DIR

All are scored in one go, on the same pictures. Runs that differ in nothing but their seeds are one
line, with the spread over seeds. DIR/comparison.html has everything, comparison.md and
comparison.tex the tables, and DIR/scores what `evaluate` writes of each run.
"""

import sys
from collections.abc import Sequence

from ugatit_jax.console.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.console.extras import require
from ugatit_jax.console.numbers import whole_number
from ugatit_jax.data.storage import path_argument
from ugatit_jax.runs.steps import parse_step
from ugatit_jax.runs.trained import model_argument


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit compare",
        description="Score runs in one go, and lay them side by side.",
        examples=(
            "ugatit compare runs/mine runs/other --out=compared",
            "ugatit compare runs/seed_0 runs/seed_1 emoji --data=emoji --out=compared --step=best",
        ),
    )
    parser.add_argument(
        "runs",
        type=model_argument,
        nargs="+",
        metavar="RUN_DIR",
        help="two or more runs, exports, or emoji",
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        required=True,
        metavar="DIR",
        help="for the page, tables and scores",
    )
    parser.add_argument(
        "--features",
        default="auto",
        metavar="NETWORK",
        help="efficientnet-lite0, inception, or its file; default: inception if it was downloaded",
    )
    parser.add_argument(
        "--step",
        type=parse_step,
        metavar="STEP",
        help="of all runs: a number, or best, that of the lowest KID; default: the newest",
    )
    parser.add_argument(
        "--data",
        default="",
        metavar="SOURCE",
        help="another data set than that of the trainings, as config.data.source names it",
    )
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="the first N test pictures per domain; default: all",
    )
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="only the test pictures that KID while training left alone (config.eval.held_out)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace reports on other pictures"
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = vars(make_parser().parse_args(argv))
    runs, out = options.pop("runs"), options.pop("out")
    # Not above, where --help and a mistake would wait for NumPy, and below for JAX, for seconds.
    from ugatit_jax.runs.advice import check_run

    if len(runs) < 2:
        raise InputError(f"{runs[0]} alone compares with nothing: give two runs or more")
    for run in runs:
        check_run(run, or_export=True)
    require("evaluate", "scoring")
    from ugatit_jax.comparison.compare_runs import compare
    from ugatit_jax.devices.runtime import set_up_jax

    set_up_jax()
    print(compare(runs, out, **options))
    print(f"page: {out / 'comparison.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
