"""Which checkpoint of a run is meant."""

import argparse
from typing import Literal

from ugatit_jax.console.errors import in_a_line

Step = int | Literal["best"] | None  # None: the newest


def parse_step(text: str) -> Step:
    """Read --step of a command line: a number, or 'best'."""
    if text != "best" and not (text.isdecimal() and len(text) < 20):
        said = in_a_line(repr(text), 40)
        raise argparse.ArgumentTypeError(f"{said} is neither a number nor best")
    return "best" if text == "best" else int(text)
