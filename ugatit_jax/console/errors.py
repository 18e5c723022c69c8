"""The errors that users are meant to see, and how command lines show them."""

import argparse
import errno
import functools
import io
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, ParamSpec, TypeVar

_JOINERS = "\u200c\u200d"  # within emoji and words: not printable by themselves, but no harm
P = ParamSpec("P")
R = TypeVar("R")


# What a system says of a disk that is full or must not be written to.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
# And of a path that leads nowhere.
NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}


def printable(text: object) -> str:
    """Return a text, such as a file's name, as it can stand in a line.

    What ends lines, moves the cursor or is no text at all becomes an escape, such as \\n.
    """
    return "".join(
        x if x.isprintable() or x in _JOINERS else x.encode("unicode_escape").decode()
        for x in str(text)
    )


def in_a_line(error: object, most: int = 300) -> str:
    """Return what an error says, in one line of so many characters, whatever a file put into it."""
    said = printable(" ".join(str(error).split())) or type(error).__name__
    return said if len(said) <= most else f"{said[:most]}…"


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


class _Help(argparse.HelpFormatter):
    """Wraps paragraphs, and keeps lines that are indented, such as examples, as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = textwrap.TextWrapper(width, initial_indent=indent, subsequent_indent=indent).fill
        return "\n".join(x if x.startswith(" ") else fill(x) for x in text.splitlines())


class Parser(argparse.ArgumentParser):
    """A parser of command lines that complains by `InputError`, without repeating its usage.

    examples: whole command lines that --help ends with. The words of an option are joined by
    hyphens; with underscores, as earlier versions had some of them, it is taken, too.
    """

    def __init__(self, *, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**({"formatter_class": _Help} | kwargs))
        self.examples = tuple(examples)
        if examples:
            self.epilog = "\n".join(
                [*filter(None, [self.epilog]), "examples:", *(f"  {line}" for line in examples)]
            )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as `ArgumentParser` does, once every option has the spelling that it has here."""
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._spelt(x) for x in given], namespace)

    def _spelt(self, argument: str) -> str:
        word, equals, value = argument.partition("=")
        known, hyphens = self._option_string_actions, word.replace("_", "-")
        return f"{hyphens}{equals}{value}" if word not in known and hyphens in known else argument

    def error(self, message: str) -> NoReturn:
        """Raise `InputError`."""
        raise InputError(f"{in_a_line(message, 600)}; --help lists all there is")


def exit_on_input_error(main: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command line's `main`: an `InputError` becomes one line on stderr and its status.

    So does a full disk, a quota, a folder that must not be written to, or a path that cannot be,
    with status 2.
    """

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return main(*args, **kwargs)
        except InputError as error:
            said = "\n".join(map(printable, str(error).split("\n")))
            print(f"error: {said}", file=sys.stderr)
            sys.exit(error.exit_status)
        except OSError as error:
            if error.errno not in UNWRITABLE | NO_PATH:
                raise
            where = in_a_line(error.filename or "cannot write")
            advice = "make room, or say another folder"
            if error.errno in NO_PATH:
                advice = "say another path"
            print(f"error: {where}: {error.strerror}; {advice}", file=sys.stderr)
            sys.exit(InputError.exit_status)

    return wrapped
