"""Translate pictures on a page in the browser, and watch a training.

    python -m ugatit_jax.page RUN_DIR

Nobody but this machine can open the page, unless --host says so. It works offline and tells nobody
anything; pictures are kept for ten minutes, and gone when the program ends.
"""

import os
import sys
import tempfile
import threading
from collections.abc import Sequence

from ugatit_jax.console.errors import Parser, exit_on_input_error
from ugatit_jax.console.extras import require
from ugatit_jax.console.numbers import whole_number
from ugatit_jax.runs.steps import parse_step
from ugatit_jax.runs.trained import model_argument


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit page",
        description="Translate pictures on a page in the browser, and watch a training.",
        examples=("ugatit page emoji", "ugatit page runs/mine --step=best --port=8080"),
    )
    parser.add_argument(
        "model", type=model_argument, metavar="MODEL", help="a run, an export, or emoji"
    )
    parser.add_argument(
        "--step",
        type=parse_step,
        metavar="STEP",
        help="of a run: a number, or best, that of the lowest KID; default: the newest",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="that the page is served at; 0.0.0.0 for all machines that reach this one, without a "
        "password; default: this machine alone",
    )
    parser.add_argument(
        "--port",
        type=whole_number(1, 2**16 - 1),
        default=7860,
        metavar="PORT",
        help="of that address; default: %(default)s",
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    # Not above, where --help and a mistake would wait for NumPy, and below for JAX, for seconds.
    from ugatit_jax.runs.advice import check_run

    check_run(args.model, or_export=True)
    require("page", "the page")
    from ugatit_jax.devices.runtime import set_up_jax

    set_up_jax()
    with tempfile.TemporaryDirectory(prefix="ugatit_page_") as kept:
        os.environ["GRADIO_TEMP_DIR"] = kept
        from ugatit_jax.web.app import Page
        from ugatit_jax.web.studio import Studio

        address = Page(Studio(args.model, args.step)).launch(args.host, args.port)
        print(f"{address} translates with {args.model}; Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
