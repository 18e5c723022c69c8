"""What may be made of a picture."""

from dataclasses import dataclass

FITS = ("crop", "stretch", "pad", "tile", "native")  # `fit.py` says what each does
MOST_STYLES = 100  # the grid of them has a column for each


@dataclass(frozen=True)
class Options:
    """What to make of every picture."""

    direction: str = "a2b"
    fit: str = "crop"
    format: str = "png"
    attention: bool = False
    cycle: bool = False
    styles: int = 0  # that every picture is translated in, the same for all; 0: one of its own
    seed: int = 0  # of random styles
