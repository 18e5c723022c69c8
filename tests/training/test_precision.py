"""bfloat16: what stays in float32, and how far the losses of a training stray from float32's."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from steps import batches_of, compile_step, first_state, mesh_of

from ugatit_jax.devices.sharding import place_batch

STEPS = 50


def losses_of(config: ConfigDict) -> dict[str, np.ndarray]:
    """Every metric of 50 steps on emoji, in order."""
    mesh, batches = mesh_of(config, jax.devices()[:1]), batches_of(config)
    state = first_state(config, mesh)
    batch = place_batch(next(batches), mesh)
    step = compile_step(config, mesh, state, batch)
    records = []
    for _ in range(STEPS):
        state, metrics = step(state, batch, ())
        records.append(jax.device_get(metrics))
        batch = place_batch(next(batches), mesh)
    return {name: np.array([record[name] for record in records]) for name in records[0]}


@pytest.mark.slow  # it compiles two training steps
def test_losses_in_bfloat16_are_near_those_in_float32(
    tiny_config: Callable[[], ConfigDict],
) -> None:
    found = {}
    for dtype in ("float32", "bfloat16"):
        config = tiny_config()
        config.data.source, config.dtype = "emoji", dtype
        config.model.base_width = 8
        config.train.batch_size, config.train.steps = 2, 2 * STEPS
        found[dtype] = losses_of(config)
    assert len(found["float32"]) > 20
    for name, wide in found["float32"].items():
        narrow = found["bfloat16"][name]
        assert narrow.dtype == wide.dtype == np.float32
        assert (narrow != wide).any(), name
        # Found: 3 % at any step (1.1 % of the totals) and 0.5 % in the mean; but 6.9 % in one step
        # for a small loss: a maximum over a map may be found at another place.
        strayed = np.abs(narrow - wide) / wide.mean()
        assert np.sort(strayed)[-3] < 0.05, name
        assert strayed.max() < 0.15, name
        assert abs(narrow.mean() - wide.mean()) < 0.01 * wide.mean(), name
