"""Render the emoji that the demo trains on: OpenMoji (A) and Twemoji (B).

python -m ugatit_jax.emoji [--cache-dir DIR] [--size PX]
"""

import sys
from collections.abc import Sequence

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.console.errors import Parser, exit_on_input_error
from ugatit_jax.console.numbers import whole_number


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit emoji",
        description="Render the emoji that the demo trains on, OpenMoji (A) and Twemoji (B), and "
        "print the folder that they are in.",
        examples=("ugatit emoji", "ugatit emoji --cache-dir=data --size=256"),
    )
    parser.add_argument(
        "--cache-dir",
        default="",
        metavar="DIR",
        help="where to make that folder; default: $XDG_CACHE_HOME/ugatit_jax",
    )
    parser.add_argument(
        "--size",
        type=whole_number(8, 1024),
        default=128,
        metavar="PX",
        help="side of the pictures; default: %(default)s",
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Render the data set and print where it is; returns the exit status."""
    args = make_parser().parse_args(argv)
    from ugatit_jax.data.emoji import prepare  # not above, where --help would wait for NumPy

    print(prepare(find_cache_dir(args.cache_dir), args.size))
    return 0


if __name__ == "__main__":
    sys.exit(main())
