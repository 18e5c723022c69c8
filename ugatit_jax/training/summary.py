"""What a training is about to do, in a few lines, before anything is compiled."""

import math
from collections import Counter
from typing import Any

import jax
import numpy as np

from ugatit_jax.config.records import Origin
from ugatit_jax.console.errors import in_a_line
from ugatit_jax.data.datasets import Dataset
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Method, shapes
from ugatit_jax.models import compute_dtype
from ugatit_jax.training.start import Training


def summarize(training: Training) -> str:
    """Say what is trained, on what, from where to where, and how to stop it."""
    config = training.config
    height, width = config.data.image_size
    lines = {
        "experiment": f"{training.origin.experiment}, method {config.method}",
        "changed": _changes(training.origin),
        "devices": f"{_devices()}, computing in {np.dtype(compute_dtype(config.dtype)).name}",
        "pictures": f"{_pictures(training.dataset)}, at {width} × {height} px",
        "parameters": _parameters(build_method(config)),
        "steps": _steps(training),
        "folder": f"{training.workdir}, a checkpoint every {config.checkpoint.every:,} steps",
        "KID": _kid(training),
        "to stop": "Ctrl-C or SIGTERM, which save; the same command goes on from there",
    }
    return "\n".join(f"  {name:10}  {said}" for name, said in lines.items())


def _changes(origin: Origin) -> str:
    return in_a_line("; ".join(origin.describe()) or "nothing", 2000)


def _devices() -> str:
    kinds = Counter(device.device_kind for device in jax.devices())
    said = " and ".join(f"{count} × {kind}" for kind, count in kinds.items())
    count = jax.process_count()
    return said if count == 1 else f"{said} in {count} processes"


def _pictures(dataset: Dataset) -> str:
    """Say how many there are of each domain, to learn from and to test with."""
    pairs = ((dataset.train_a, dataset.train_b), (dataset.test_a, dataset.test_b))
    train, test = (f"{len(a):,} of A and {len(b):,} of B" for a, b in pairs)
    return f"{train}; to test with, {test}"


def _parameters(method: Method) -> str:
    """Count them; the method is not mapped, as it is asked outside of any mesh."""
    params, _ = shapes(method)
    groups = {group: params[group] for group in method.translating}
    direction = method.directions[0]
    one = _count(method.select(groups, direction))
    return f"{_count(params):,}, of which a translation {direction} takes {one:,}"


def _count(tree: Any) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def _steps(training: Training) -> str:
    saved, steps = training.saved, training.config.train.steps
    batches = f"batches of {training.config.train.batch_size:,}"
    if saved and saved[-1] >= steps:
        return f"{steps:,}, all done"
    return f"from {saved[-1] if saved else 0:,} to {steps:,}, in {batches}"


def _kid(training: Training) -> str:
    if training.kid_curve is None:
        return "none"
    every, features = training.config.eval.every, training.kid_curve.features["extractor"]
    return f"every {every:,} steps, by {features}"
