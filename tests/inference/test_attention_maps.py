"""Heat maps of the discriminators of a run, against the discriminators as training calls them."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.inference.attention_maps import DiscriminatorAttention
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.methods.ugatit import UGATIT
from ugatit_jax.runs.checkpoints import open_checkpoints, save
from ugatit_jax.runs.directory import record_start

Run = tuple[Path, ConfigDict, TrainState]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module", params=[True, False], ids=["spectral", "plain"])
def run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_config: Callable[[], ConfigDict],
) -> Run:
    """A run directory, its config, and the state that its one checkpoint holds."""
    config = tiny_config()
    config.model.spectral_norm = request.param
    method = build_method(config)
    rng = np.random.default_rng(0)  # compiles nothing, unlike the networks' own initialisation
    state = jax.tree.map(
        lambda x: rng.normal(scale=0.2, size=x.shape).astype(x.dtype),
        jax.eval_shape(functools.partial(create_state, method, config.train, config.seed)),
    )
    workdir = tmp_path_factory.mktemp("run")
    record_start(workdir, config, None, 0)
    with open_checkpoints(workdir, config.checkpoint) as checkpoints:
        save(checkpoints, method, jax.device_put(state, replicated(make_mesh())))
    return workdir, config, state


@pytest.mark.parametrize(("domain", "count"), [("a", 1), ("b", 11)])
def test_maps_are_those_that_training_sees(run: Run, domain: str, count: int) -> None:
    workdir, config, state = run
    pictures = noise(count, 32, 32, 3)
    maps = DiscriminatorAttention.load(workdir, domain)(pictures)
    method, x = build_method(config), pictures.astype(np.float32) / 127.5 - 1
    assert isinstance(method, UGATIT)
    by_training = jax.jit(lambda *variables: method.judge_scales(*variables, x, domain))
    expected = by_training(state.params["discriminators"], state.other["spectral"])
    assert set(maps) == {"local discriminator", "global discriminator"}
    for name, found in maps.items():
        heatmap = np.asarray(expected[name.removesuffix(" discriminator")].heatmap)
        assert found.dtype == np.float32 and found.shape == heatmap.shape
        assert heatmap.std() > 0
        np.testing.assert_allclose(found, heatmap, rtol=1e-3, atol=1e-3 * heatmap.std())


def test_bad_requests_are_refused(run: Run, tmp_path: Path) -> None:
    workdir, _, _ = run
    attention = DiscriminatorAttention.load(workdir, "b")
    with pytest.raises(InputError, match=r"uint8 \[8, 32, 3\]: give .* of 12 px or more"):
        attention(noise(1, 8, 32, 3))
    with pytest.raises(InputError, match=r"float32 \[32, 32, 3\]"):
        attention(noise(1, 32, 32, 3).astype(np.float32))
    with pytest.raises(InputError, match=r"\[32, 32, 3\], uint8 \[32, 36, 3\]"):
        attention([noise(32, 32, 3), noise(32, 36, 3)])
    with pytest.raises(InputError, match="no domain 'a2b': say a or b"):
        DiscriminatorAttention.load(workdir, "a2b")
    with pytest.raises(InputError, match="no run in"):
        DiscriminatorAttention.load(tmp_path, "b")
