"""Whether two run directories hold the same training, read without the program that wrote them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

ITEMS = ("translating", "ema", "training")
CLOCKS = ("steps_per_second", "images_per_second")  # of which only the steps can be the same

Points = dict[str, list[tuple[int, bytes]]]


class Comparison(NamedTuple):
    """How much was compared, and what is not the same, in words."""

    arrays: int  # of checkpoints
    points: int  # of curves, and pictures, in event files
    differences: list[str]


def compare(one: Path, other: Path) -> Comparison:
    """Compare checkpoints, event files, grids and KIDs of two finished runs, bit for bit."""
    said: list[str] = []
    arrays = 0
    steps = [saved(run) for run in (one, other)]
    if steps[0] != steps[1]:
        said.append(f"checkpoints: {steps[0]} and {steps[1]}")
    for step in sorted(set(steps[0]) & set(steps[1])):
        ours, theirs = read_arrays(one, step), read_arrays(other, step)
        arrays += len(ours)
        said += [
            f"checkpoint {step}: {name}"
            for name in sorted(ours.keys() | theirs.keys())
            if not same(ours.get(name), theirs.get(name))
        ]
    points = [read_points(run) for run in (one, other)]
    for tag in sorted(points[0].keys() | points[1].keys()):
        found = [p.get(tag, []) for p in points]
        if tag in CLOCKS:
            found = [[(step, b"") for step, _ in x] for x in found]
        if found[0] != found[1]:
            said.append(f"event files: {tag}, {describe(*found)}")
    files = [read_files(run) for run in (one, other)]
    for name in sorted(files[0].keys() | files[1].keys()):
        if files[0].get(name) != files[1].get(name):
            said.append(name)
    return Comparison(arrays, sum(map(len, points[0].values())), said)


def largest_change(one: Path, other: Path) -> float:
    """Return the largest relative difference of a loss of two runs at any step.

    It is infinite where one run has no such loss, or has it at other steps.
    """
    ours, theirs = (read_points(run, as_numbers=True) for run in (one, other))
    # Norms and KID are no losses, nor is the share of ρ at a bound, which jumps by whole channels.
    others = ("norm/", "kid", "at_bound/")
    losses = [tag for tag in ours if tag.count("/") == 1 and not tag.startswith(others)]
    changes = []
    for tag in losses:
        (steps, a), (their_steps, b) = (
            zip(*x.get(tag, [(0, 0.0)]), strict=True) for x in (ours, theirs)
        )
        if steps != their_steps:
            return float("inf")
        x, y = np.array(a), np.array(b)
        changes.append(np.max(np.abs(x - y) / np.maximum(np.abs(x), 1e-3)))
    return float(max(changes))


def saved(run: Path) -> list[int]:
    """Return the steps of a run's checkpoints."""
    return sorted(int(x.name) for x in (run / "checkpoints").iterdir() if x.name.isdigit())


def read_arrays(run: Path, step: int) -> dict[str, np.ndarray]:
    """Return every array of a checkpoint by its name, as orbax alone reads it."""
    found = {}
    with ocp.StandardCheckpointer() as reader:
        for item in ITEMS:
            tree = reader.restore((run / "checkpoints" / str(step) / item).absolute())
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                found[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found


def same(ours: np.ndarray | None, theirs: np.ndarray | None) -> bool:
    """Tell whether two arrays are there and have the same bits."""
    if ours is None or theirs is None:
        return False
    about = (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    return about and ours.tobytes() == theirs.tobytes()


def read_points(run: Path, as_numbers: bool = False) -> dict[str, list[tuple[int, Any]]]:
    """Return what TensorBoard shows of a run, {tag: [(step, value)]}, all there is."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    found: dict[str, list[tuple[int, Any]]] = {}
    for tag in events.Tags()["tensors"]:
        values = [(x.step, tensor_util.make_ndarray(x.tensor_proto)) for x in events.Tensors(tag)]
        if as_numbers:
            values = [(step, value) for step, value in values if value.dtype.kind == "f"]
            found[tag] = [(step, float(value)) for step, value in values if value.size == 1]
        else:
            found[tag] = [(step, b"".join(map(bytes, _parts(value)))) for step, value in values]
    return {tag: values for tag, values in found.items() if values}


def _parts(value: np.ndarray) -> Iterator[bytes]:
    for x in value.ravel():
        yield x if isinstance(x, bytes) else x.tobytes()


def read_files(run: Path) -> dict[str, bytes]:
    """Return what else a run says of its training, by name; dates are its own."""
    paths = [*(run / "samples").iterdir(), run / "kid.json", run / "kid.png"]
    found = {str(x.relative_to(run)): x.read_bytes() for x in paths if x.exists()}
    if "kid.json" in found:
        found["kid.json"] = re.sub(rb'"date": "[^"]*"', b"", found["kid.json"])
    return found


def describe(ours: list[tuple[int, bytes]], theirs: list[tuple[int, bytes]]) -> str:
    """Say how two curves differ: what is missing, what is there twice, what has another value."""
    steps, others = ([step for step, _ in x] for x in (ours, theirs))
    missing = sorted(set(steps) - set(others))
    twice = sorted({step for step in others if others.count(step) > 1})
    more = sorted(set(others) - set(steps))
    changed = [a for (a, x), (b, y) in zip(ours, theirs, strict=False) if a == b and x != y]
    said = {"missing": missing, "twice": twice, "more": more, "other values": changed}
    return ", ".join(f"{what} at {where}" for what, where in said.items() if where)
