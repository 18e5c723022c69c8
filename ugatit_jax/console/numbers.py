"""Whole numbers on command lines."""

from argparse import ArgumentTypeError
from collections.abc import Callable

from ugatit_jax.console.errors import in_a_line

LARGEST = 2**63 - 1  # where nothing else sets a bound


def whole_number(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """Return what reads an argument of a command line that is a whole number in these bounds."""
    wanted = f"of {least:,} or more" if most == LARGEST else f"from {least:,} to {most:,}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:  # of thousands of digits, too
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"{in_a_line(repr(text), 40)} is no whole number {wanted}")
        return number

    return read
