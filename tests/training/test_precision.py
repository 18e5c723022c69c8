"""bfloat16: what stays in float32, and how far the losses of a training stray from float32's."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from steps import batches_of, compile_step, first_state, mesh_of

from ugatit_jax.devices.sharding import place_batch

STEPS = 20


def losses_of(config: ConfigDict) -> dict[str, np.ndarray]:
    """Every metric of the first steps on emoji, in order."""
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


@pytest.mark.thorough  # it compiles two training steps
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
        if name == "finite" or "/gradient/" in name:  # a flag, and norms, which stray further
            assert (narrow > 0).all() and np.isfinite(narrow).all()
            continue
        assert (narrow != wide).any(), name
        # Found: 2 % at any step and 0.7 % in the mean, but 5 % in one step of a small loss: the
        # maximum of a map may be found at another place.
        strayed = np.sort(np.abs(narrow - wide) / wide.mean())
        assert strayed[-2] < 0.05, name
        assert strayed[-1] < 0.15, name
        assert abs(narrow.mean() - wide.mean()) < 0.01 * wide.mean(), name
