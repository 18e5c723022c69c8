"""What moved between two checkpoints of a training, and a training that goes on from one."""

import shutil
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs.checkpoints import restore_state
from ugatit_jax.training.loop import train


def state_at(workdir: Path, step: int) -> TrainState:
    return jax.device_get(restore_state(workdir, step)[1])


def moved(workdir: Path, step: int) -> set[str]:
    """The groups of parameters that the step to a checkpoint has moved."""
    before, after = (state_at(workdir, s).params for s in (step - 1, step))
    changed = jax.tree.map(lambda x, y: bool((x != y).any()), before, after)
    return {group for group, of_group in changed.items() if any(jax.tree.leaves(of_group))}


def assert_goes_on_alike(config: ConfigDict, workdir: Path, step: int, copy: Path) -> None:
    """From a step's checkpoint, in a copy of the run, to the same last state, bit for bit."""
    shutil.copytree(workdir, copy)
    for folder in (copy / "checkpoints").iterdir():
        if folder.name.isdigit() and int(folder.name) > step:
            shutil.rmtree(folder)
    last = config.train.steps
    assert train(config, copy) == last
    ours, theirs = (jax.tree.leaves_with_path(state_at(x, last)) for x in (copy, workdir))
    for (path, mine), (_, other) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other, err_msg=jax.tree_util.keystr(path))
