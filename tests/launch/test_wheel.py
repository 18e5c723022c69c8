"""The package as pip installs it, in an empty environment: what translates, and no more."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
LARGEST = 700  # MB on the disk, without pip
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(x) for x in command], cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # not ROOT, where building leaves files
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements", "ugatit_jax"):
        (source / name).symlink_to(ROOT / name)
    for command in (
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source],
        [sys.executable, "-m", "venv", folder / "venv"],
    ):
        made = run(*command, cwd=folder)
        assert made.returncode == 0, made.stderr
    (wheel,) = folder.glob("*.whl")
    pip = folder / "venv" / "bin" / "pip"
    installed = run(pip, "install", "-q", "--no-compile", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return folder / "venv"


@pytest.mark.slow
def test_what_translates_is_small(environment: Path) -> None:
    (packages,) = environment.glob("lib/python3*/site-packages")
    there = {path.name for path in packages.iterdir()}
    assert not there & {"tensorflow", "pyarrow", "matplotlib", "skimage", "torch"}
    files = [x for x in packages.rglob("*") if x.is_file() and "pip" not in x.parts]
    assert sum(file.stat().st_size for file in files) < LARGEST * 10**6


@pytest.mark.slow
def test_it_translates_and_exports(environment: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "picture.png")
    ugatit = environment / "bin" / "ugatit"
    ended = run(ugatit, "translate", "emoji", "picture.png", "--out=there", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "there" / "picture.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train --config=selfie2anime:light", 'pip install "ugatit_jax[train]"'),
        ("train --config=ablation:adain --config.seed=x", "config.seed is 'x'; it must be a whole"),
        ("evaluate emoji --data=emoji", 'pip install "ugatit_jax[evaluate]"'),
        ("compare emoji emoji --out=x", 'pip install "ugatit_jax[evaluate]"'),
        ("translate emoji picture.png --out=x --attention", 'install "ugatit_jax[evaluate]"'),
    ],
)
def test_what_is_missing_is_asked_for_by_name(
    environment: Path, tmp_path: Path, command: str, message: str
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    ended = run(environment / "bin" / "ugatit", *command.split(), cwd=tmp_path)
    assert ended.returncode == 2 and message in ended.stderr, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
