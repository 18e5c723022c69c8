"""Render the emoji that the demo trains on: OpenMoji (A) and Twemoji (B).

python -m ugatit_jax.emoji [--cache_dir DIR] [--size PX]
"""

import sys
from collections.abc import Sequence

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.console.errors import Parser, exit_on_input_error
from ugatit_jax.console.numbers import whole_number


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Render the data set and print where it is; returns the exit status."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache_dir", default="", help="default: $XDG_CACHE_HOME/ugatit_jax")
    parser.add_argument(
        "--size", type=whole_number(8, 1024), default=128, help="side of the pictures, px"
    )
    args = parser.parse_args(argv)
    from ugatit_jax.data.emoji import prepare  # not above, where --help would wait for NumPy

    print(prepare(find_cache_dir(args.cache_dir), args.size))
    return 0


if __name__ == "__main__":
    sys.exit(main())
