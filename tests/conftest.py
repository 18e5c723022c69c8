"""The tests' world: eight virtual CPU devices, and programs that compile fast and only once."""

import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

CACHE_HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

# Set before the first import of JAX and TensorFlow, and inherited by the programs that tests start.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE_HOME / "ugatit_jax" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# A training step compiles in half the time, and few of them run here.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if version("jaxlib").startswith("0.10."):  # a JAX that does not know a flag ends
    # It saves a quarter of the rest for a training step, less for others.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# PyTorch's threads wait for each other without letting go of cores that other workers need.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from bucket import Store, serve  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402
from PIL import Image  # noqa: E402

from ugatit_jax.config.flags import parse_flags  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of noise, one picture per device and domain, and some to test with."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("trainA", 9), ("trainB", 8), ("testA", 3), ("testB", 2)):
        (root / split).mkdir()
        for i in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8))
            picture.save(root / split / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def bucket() -> Iterator[Store]:
    """A stand-in for Google Cloud Storage, for gcsfs, orbax and TensorStore, with gs://bucket."""
    with serve("bucket") as (store, address), pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", address)
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", address)
        yield store


@pytest.fixture(scope="module")
def compiled_once() -> Iterator[None]:
    """For files whose trainings all take one step, or one for each phase.

    To compile it is half of a training's time.
    """
    from ugatit_jax.training.loop import TrainSteps  # imports much that few tests need

    compile_step, compiled = TrainSteps.compile, {}

    def compile_once(steps: TrainSteps, phase: str, *args: Any) -> jax.stages.Compiled:
        if phase not in compiled:
            compiled[phase] = compile_step(steps, phase, *args)
        return compiled[phase]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainSteps, "compile", compile_once)
        yield


@pytest.fixture(scope="session")
def tiny_flags(pictures: Path) -> list[str]:
    """The command line of a training that takes seconds on eight virtual devices.

    Tests that change what is compiled (the model, loss, sizes, optimiser) pay for it.
    """
    fields = {
        "model.base_width": 4,
        "model.residual_blocks": 1,
        "model.local_layers": 3,
        "model.global_layers": 4,
        "data.source": pictures,
        "data.image_size": (32, 32),
        "train.steps": 4,
        "train.batch_size": 8,
        "train.ema_decay": 0.75,
        "log_every": 1,
        "samples.every": 2,
        "samples.count": 2,
        "eval.every": 0,
        "checkpoint.every": 1,
        "checkpoint.keep": 2,
        "checkpoint.keep_every": 2,
    }
    experiment = f"--config={ROOT / 'configs' / 'default.py'}:light"
    return [experiment, *(f"--config.{name}={value}" for name, value in fields.items())]


@pytest.fixture(scope="session")
def tiny_config(tiny_flags: list[str]) -> Callable[[], ConfigDict]:
    """A function that returns the config of `tiny_flags`, a new one to change at will."""
    return lambda: parse_flags(tiny_flags).config
