"""The errors that users are meant to see, and how command lines show them."""

import argparse
import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InputError(ValueError):
    """Something that the user gave does not work.

    The message is one line: what was wrong, where, and what would do. Command
    lines print it without a traceback and end with exit status 2.
    """

    exit_status = 2


class TransientError(InputError):
    """Something cannot be read or reached now, and may be later without anybody mending it.

    The exit status is 75, EX_TEMPFAIL of sysexits.h, for whoever starts the program to do so again.
    """

    exit_status = 75


class Parser(argparse.ArgumentParser):
    """A parser of command lines that complains by `InputError`, without repeating its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise `InputError`."""
        raise InputError(f"{message}; --help lists all there is")


def exit_on_input_error(main: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command line's `main`: an `InputError` becomes one line on stderr and its status."""

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return main(*args, **kwargs)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_status)

    return wrapped
