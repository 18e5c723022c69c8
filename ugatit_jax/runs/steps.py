"""Which checkpoint of a run is meant."""

import argparse
from typing import Literal

Step = int | Literal["best"] | None  # None: the newest


def parse_step(text: str) -> Step:
    """Read --step of a command line: a number, or 'best'."""
    if text != "best" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor best")
    return "best" if text == "best" else int(text)
