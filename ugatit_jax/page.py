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
from ugatit_jax.runs.steps import parse_step
from ugatit_jax.runs.trained import model_argument


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = Parser(
        prog="python -m ugatit_jax.page",
        description="Translate pictures on a page in the browser, and watch a training.",
    )
    parser.add_argument("model", type=model_argument, help="a run, an export, or emoji")
    parser.add_argument("--step", type=parse_step, help="of a run, or best; default: the newest")
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="0.0.0.0 lets other machines open it, without a password; default: %(default)s",
    )
    args = parser.parse_args(argv)
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
