"""Score translated pictures, a run's or any program's, and show them from best to worst.

    python -m ugatit_jax.evaluate RUN_DIR
    python -m ugatit_jax.evaluate TRANSLATED TARGET [SOURCE]

The first translates the test pictures of a run's data set, both ways. The second takes folders of
pictures: translated ones, real ones of the target domain, and the ones before translation. Both
write report.json, report.md and index.html, and the first its translations as a2b/NAME.png and
b2a/NAME.png, into RUN_DIR/evaluation/STEP or --out. Several runs: `ugatit_jax.compare`.

Pictures that cannot be read are all named, before anything is scored, and nothing is: scores of the
others would be of another set. Those that a run's training left out (config.data.skip_bad) are left
out here, too, and counted in the report.
"""

import sys
from collections.abc import Sequence
from typing import Any

from ugatit_jax.console.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.console.extras import require
from ugatit_jax.console.numbers import whole_number
from ugatit_jax.data.storage import AnyPath, path_argument
from ugatit_jax.runs.steps import parse_step
from ugatit_jax.runs.trained import model_argument


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit evaluate",
        usage="%(prog)s RUN_DIR [options]\n       %(prog)s TRANSLATED TARGET [SOURCE] [options]",
        description="Score a run on the test pictures of its data set, or folders of pictures.",
        examples=(
            "ugatit evaluate runs/mine --step=best",
            "ugatit evaluate translated my_pictures/testB photos --features=inception",
        ),
    )
    parser.add_argument(
        "paths",
        type=model_argument,
        nargs="+",
        metavar="FOLDER",
        help="a run, an export or emoji; or folders of pictures: translated ones, real ones of the "
        "target, and maybe those before translation",
    )
    parser.add_argument(
        "--features",
        default="auto",
        metavar="NETWORK",
        help="efficientnet-lite0, inception, or its file; default: inception if it was downloaded",
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        metavar="DIR",
        help="for the report; default: RUN_DIR/evaluation/STEP, or evaluation/NAME of TRANSLATED",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a report on other pictures"
    )
    run = parser.add_argument_group("of a run")
    run.add_argument(
        "--step",
        type=parse_step,
        metavar="STEP",
        help="of the checkpoint: a number, or best, that of the lowest KID; default: the newest",
    )
    run.add_argument(
        "--data",
        default="",
        metavar="SOURCE",
        help="another data set than that of the training, as config.data.source names it",
    )
    run.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="the first N test pictures per domain; default: all",
    )
    run.add_argument(
        "--held-out",
        action="store_true",
        help="only the test pictures that KID while training left alone (config.eval.held_out)",
    )
    run.add_argument(
        "--beside",
        type=model_argument,
        nargs="+",
        default=[],
        metavar="MODEL",
        help="show translations by these, too: runs, exports, or emoji, which comes along",
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    # Not above, where --help and a mistake would wait for NumPy, and below for JAX, for seconds.
    from ugatit_jax.runs.advice import check_run
    from ugatit_jax.runs.directory import is_run
    from ugatit_jax.runs.exports import is_exported

    of_run: dict[str, Any] = {
        "step": args.step,
        "data": args.data,
        "limit": args.limit,
        "held_out": args.held_out,
        "beside": args.beside,
    }
    common: dict[str, Any] = {
        "features": args.features,
        "out": args.out,
        "overwrite": args.overwrite,
    }
    if len(args.paths) == 1:
        check_run(args.paths[0], or_export=True)
    elif all(is_run(x) or is_exported(x) for x in args.paths):
        raise InputError("several runs: python -m ugatit_jax.compare RUN_DIR… --out=DIR")
    else:
        _check_folders(args.paths, of_run)
    require("evaluate", "scoring")
    from ugatit_jax.devices.runtime import set_up_jax
    from ugatit_jax.evaluation.evaluate_folders import evaluate_folders
    from ugatit_jax.evaluation.evaluate_run import evaluate_run
    from ugatit_jax.evaluation.run_page import NAME as PAGE
    from ugatit_jax.evaluation.run_page import leave_run_page

    set_up_jax()
    if len(args.paths) == 1:
        _, folder = evaluate_run(args.paths[0], **of_run, **common)
        if is_run(args.paths[0]) and (args.paths[0] / PAGE).is_file():
            leave_run_page(args.paths[0])  # with the scores
    else:
        _, folder = evaluate_folders(*args.paths, **common)
    print((folder / "report.md").read_text(encoding="utf-8"))
    print(f"gallery: {folder / 'index.html'}")
    return 0


def _check_folders(paths: Sequence[AnyPath], of_run: dict[str, Any]) -> None:
    """Raise `InputError` if these cannot be two or three folders of pictures."""
    from ugatit_jax.data.images import check_folder

    if len(paths) > 3:
        raise InputError(f"{len(paths)} folders; give RUN_DIR, or TRANSLATED TARGET [SOURCE]")
    if given := [f"--{name.replace('_', '-')}" for name, value in of_run.items() if value]:
        raise InputError(f"{', '.join(given)} is for a run, and these are folders: leave it out")
    for path in paths:
        check_folder(path)


if __name__ == "__main__":
    sys.exit(main())
