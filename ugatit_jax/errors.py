"""The one error that users are meant to see."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InputError(ValueError):
    """Something that the user gave does not work.

    The message is one line: what was wrong, where, and what would do. Command
    lines print it without a traceback and end with exit status 2.
    """


def exit_on_input_error(main: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command line's `main`: an `InputError` becomes one line on stderr and status 2."""

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return main(*args, **kwargs)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    return wrapped
