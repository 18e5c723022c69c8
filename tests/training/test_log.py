"""What is said of a training's metrics; `test_train` looks at what a run has written."""

from pathlib import Path

import jax.numpy as jnp
import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tensorboard.util import tensor_util  # type: ignore[import-untyped]

from ugatit_jax.config.fields import get_config
from ugatit_jax.methods import METHODS, build_method
from ugatit_jax.methods.state import create_state
from ugatit_jax.training.log import Log


def test_a_line_has_the_last_terms_of_all_who_moved_since_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "toy", ("toy_method", "toy_method:Toy"))
    config = get_config("toy")
    method = build_method(config)
    state = create_state(method, config.train, seed=0)
    steps: list[dict[str, float]] = [{"x": 1, "y": 2}, {"x": 3}, {"x": 4}, {"x": 5}]
    with Log(method, config.train, 2, tmp_path, 0) as log:
        for step, terms in enumerate(steps, 1):
            log.advance(step, state, {k: jnp.asarray(v) for k, v in terms.items()}, force=False)
        # A step that was left out has terms that are not finite.
        log.advance(5, state, {"y": jnp.asarray(jnp.nan)}, force=False)
        log.advance(6, state, {"x": jnp.asarray(6.0)}, force=False)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    found = {
        name: {
            e.step: float(tensor_util.make_ndarray(e.tensor_proto)) for e in events.Tensors(name)
        }
        for name in ("x", "y")
    }
    assert found == {"x": {2: 3, 4: 5, 6: 6}, "y": {2: 2}}
