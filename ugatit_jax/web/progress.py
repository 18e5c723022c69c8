"""What a run has written so far, for a page that watches it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.runs.directory import saved_steps
from ugatit_jax.training.curves import read_curves


@dataclass(frozen=True)
class Progress:
    """A run as it is now.

    text: how far it is. grid, kids: the newest sample grid and the plot of KID, uint8 [h, w, 3];
    None where there are none yet. curves: (step, value, term) of the losses.
    """

    text: str
    grid: np.ndarray | None
    kids: np.ndarray | None
    curves: list[tuple[int, float, str]]


def read_progress(run: AnyPath, terms: Mapping[str, str]) -> Progress:
    """Read what is there; what is just being written is left for the next time.

    terms: of the losses, as `Method.shown` has them.
    """
    grids = sorted((run / "samples").glob("step_*.png")) if (run / "samples").is_dir() else []
    steps = saved_steps(run)
    drawn = f"drawn at step {int(grids[-1].stem.partition('_')[2]):,}" if grids else "nothing drawn"
    saved = f"saved at step {steps[-1]:,}" if steps else "nothing saved"
    return Progress(
        f"{saved}, {drawn}{_of_steps(run)}",
        _picture(grids[-1:]),
        _picture([run / "kid.png"]),
        read_curves(run, terms),
    )


def _of_steps(run: AnyPath) -> str:
    try:
        steps = read_object(run / "config.json")["train"]["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f", of {steps:,}" if isinstance(steps, int) else ""


def _picture(files: Sequence[AnyPath]) -> np.ndarray | None:
    for file in files:
        try:
            return images.decode(file) if file.exists() else None
        except InputError:
            return None
    return None
