"""Weights & Biases: the scalars and sample grids of a training on somebody's server.

RUN/wandb.json   the project, and the name that the run has there, for a resumed run to go on with
RUN/wandb/       what its program has not sent yet; in a bucket's place, ./wandb
"""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.config.records import flatten
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, write_atomically

NAME = "wandb.json"


class Tracker:
    """A run at Weights & Biases, or none.

    A step that is done again, after a kill or a rollback, keeps what was sent of it first: nothing
    can be taken back there.
    """

    def __init__(self, run: Any = None, say: Callable[[str], None] = print) -> None:
        """run: of `wandb`; None: there is none. say: is told what goes wrong with it."""
        self._run, self._say = run, say
        # Asked once: it is another process that knows.
        self._next = 0 if run is None else int(run.step)

    @classmethod
    def open(
        cls, config: ConfigDict, workdir: AnyPath, start: int, say: Callable[[str], None]
    ) -> "Tracker":
        """Return the tracker of a training, which goes on from a step; none if config has none.

        Raises `InputError` if nobody is logged in, or the server does not answer.
        """
        if not config.wandb:
            return cls()
        import wandb  # takes a second, and need not be installed

        team, _, project = config.wandb.rpartition("/")
        name = _name_of(workdir, config.wandb, start)
        try:
            run = wandb.init(
                entity=team or None,
                project=project,
                id=name,
                resume="allow",
                name=workdir.name,
                dir=str(workdir) if isinstance(workdir, Path) else None,
                config=flatten(config),
                settings=wandb.Settings(console="off"),
            )
        except (wandb.Error, OSError, ValueError) as error:
            raise InputError(
                f"config.wandb is {config.wandb!r}, which Weights & Biases does not open "
                f"({in_a_line(error)}): `wandb login`, or WANDB_MODE=offline, or leave it out"
            ) from None
        write_atomically(workdir / NAME, json.dumps({"project": config.wandb, "id": name}) + "\n")
        return cls(run, say)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Send the rest."""
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Send a step's scalars."""
        self._send(step, lambda: dict(values))

    def grid(self, step: int, grid: np.ndarray) -> None:
        """Send a sample grid, uint8 [H, W, 3]."""

        def picture() -> dict[str, Any]:
            import wandb

            return {"samples": wandb.Image(Image.fromarray(grid))}

        self._send(step, picture)

    def _send(self, step: int, what: Callable[[], dict[str, Any]]) -> None:
        if self._run is None or step < self._next:  # it was sent before
            return
        self._next = step
        try:
            self._run.log(what(), step=step)
        except Exception as error:  # whatever it is, the training is worth more
            self._say(f"nothing more goes to Weights & Biases: {in_a_line(error)}")
            self._run = None


def _name_of(workdir: AnyPath, project: str, start: int) -> str:
    """What the run is called there: as before, unless it begins anew or in another project."""
    try:
        kept = read_object(workdir / NAME) if start else {}
    except (OSError, ValueError):
        kept = {}
    name = kept.get("id")
    if kept.get("project") == project and isinstance(name, str):
        return name
    return secrets.token_hex(4)
