"""Training where TensorFlow is not: the program with what is installed, less TensorFlow and CLU."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from ugatit_jax.runs.checkpoints import open_checkpoints

ROOT = Path(__file__).parents[2]
ITS = ("tensorflow", "tensorboard", "clu", "keras", "tf_")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All packages but its, as links in a folder, and Python told to look nowhere else."""
    folder = tmp_path_factory.mktemp("packages")
    for package in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not package.name.startswith((*ITS, "__editable__")) and package.suffix != ".pth":
            (folder / package.name).symlink_to(package)
    path = os.pathsep.join([str(ROOT), str(folder)])
    return os.environ | {"PYTHONPATH": path, "JAX_NUM_CPU_DEVICES": "1"}


def train(
    flags: list[str], workdir: Path, environment: dict[str, str], *more: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-m", "ugatit_jax.main", *flags, f"--workdir={workdir}", *more]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=280
    )


def arrays_of(workdir: Path) -> list[np.ndarray]:
    with open_checkpoints(workdir, ConfigDict({"every": 1, "keep": 9, "keep_every": 9})) as found:
        step = found.latest_step()
        assert step is not None
        items: Any = found.restore(step)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(dict(items.items()))]


def scalars_of(workdir: Path) -> list[dict[str, float]]:
    """What does not depend on the clock."""
    lines = (workdir / "scalars.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if "per_second" not in name}
        for line in lines
    ]


@pytest.mark.thorough  # two programs that train
def test_it_trains_to_the_same_parameters(
    environment: dict[str, str], tiny_flags: list[str], tmp_path: Path
) -> None:
    flags = [*tiny_flags, "--config.train.batch_size=2"]
    with_all = environment | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_paths()["purelib"]])
    }
    for name, its in (("with", with_all), ("without", environment)):
        ended = train(flags, tmp_path / name, its)
        assert ended.returncode == 0, ended.stderr
    events = {name: [*(tmp_path / name).glob("events*")] for name in ("with", "without")}
    assert events["with"] and not events["without"]
    left, right = arrays_of(tmp_path / "with"), arrays_of(tmp_path / "without")
    assert len(left) == len(right) > 100
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)
    assert scalars_of(tmp_path / "with") == scalars_of(tmp_path / "without") != []
    # What either began, the other goes on with.
    more = "--config.train.steps=4"
    assert "nothing to do" in train(flags, tmp_path / "with", environment, more).stdout


def test_a_data_set_of_tensorflows_is_refused_in_a_line(
    environment: dict[str, str], tiny_flags: list[str], tmp_path: Path
) -> None:
    flags = [*tiny_flags, "--config.data.source=tfds:cycle_gan/horse2zebra"]
    ended = train(flags, tmp_path / "run", environment)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert 'pip install "ugatit_jax[train]"' in line, line


def test_without_grain_too_it_asks_for_the_extra(
    environment: dict[str, str], tiny_flags: list[str], tmp_path: Path
) -> None:
    less = tmp_path / "less"
    less.mkdir()
    for package in Path(environment["PYTHONPATH"].split(os.pathsep)[1]).iterdir():
        if not package.name.startswith("grain"):
            (less / package.name).symlink_to(package)
    path = os.pathsep.join([str(ROOT), str(less)])
    ended = train(tiny_flags, tmp_path / "run", environment | {"PYTHONPATH": path})
    assert ended.returncode == 2 and 'pip install "ugatit_jax[train]"' in ended.stderr
