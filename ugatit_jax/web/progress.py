"""What a run has written so far, for a page that watches it."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.runs.directory import saved_steps

POINTS = 500  # of each curve, at most


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
        _curves(run, terms),
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


def _curves(run: AnyPath, terms: Mapping[str, str]) -> list[tuple[int, float, str]]:
    """The losses in event files; none without TensorBoard, nor of a run in a bucket."""
    if not isinstance(run, Path) or importlib.util.find_spec("tensorboard") is None:
        return []
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util.tensor_util import make_ndarray

    options = {event_accumulator.TENSORS: POINTS}
    events = event_accumulator.EventAccumulator(str(run), options).Reload()
    there = set(events.Tags()["tensors"])
    return [
        (event.step, float(make_ndarray(event.tensor_proto)), short)
        for short, tag in terms.items()
        if tag in there
        for event in events.Tensors(tag)
    ]
