"""The package as pip installs it, in an empty environment: what translates, and no more."""

import os
import shutil
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


def find_python(version: str) -> str | None:
    """The path of a Python of that version, on PATH or where pyenv and uv keep theirs."""
    kept = [
        *Path.home().glob(f".pyenv/versions/{version}.*/bin/python"),
        *Path.home().glob(f".local/share/uv/python/cpython-{version}.*/bin/python{version}"),
    ]
    for candidate in (shutil.which(f"python{version}"), *map(str, kept)):
        asked = [candidate, "-c", f"import ensurepip, sys; print('{version}.' in sys.version)"]
        if candidate and run(*asked, cwd=ROOT).stdout == "True\n":
            return candidate
    return None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # not ROOT, where building leaves files
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements", "ugatit_jax"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source]
    made = run(*command, cwd=folder)
    assert made.returncode == 0, made.stderr
    (found,) = folder.glob("*.whl")
    return found


def install(wheel: Path, python: str, folder: Path) -> Path:
    """Return an environment of that Python with the package and what it asks for."""
    made = run(python, "-m", "venv", folder, cwd=folder.parent)
    assert made.returncode == 0, made.stderr
    pip = folder / "bin" / "pip"
    installed = run(pip, "install", "-q", "--no-compile", wheel, cwd=folder.parent)
    assert installed.returncode == 0, installed.stderr
    return folder


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, sys.executable, tmp_path_factory.mktemp("installed") / "venv")


@pytest.mark.slow
def test_what_translates_is_small(environment: Path) -> None:
    (packages,) = environment.glob("lib/python3*/site-packages")
    there = {path.name for path in packages.iterdir()}
    assert not there & {"tensorflow", "pyarrow", "matplotlib", "skimage", "torch"}
    files = [x for x in packages.rglob("*") if x.is_file() and "pip" not in x.parts]
    assert sum(file.stat().st_size for file in files) < LARGEST * 10**6


def translate_one(environment: Path, folder: Path) -> None:
    """Translate a picture by the command that was installed, with the model that came with it."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / "picture.png")
    ugatit = environment / "bin" / "ugatit"
    ended = run(ugatit, "translate", "emoji", "picture.png", "--out=there", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "there" / "picture.png").exists()


@pytest.mark.slow
def test_it_translates(environment: Path, tmp_path: Path) -> None:
    translate_one(environment, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_it_translates_on_other_pythons(wheel: Path, version: str, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None or sys.version.startswith(f"{version}."):
        pytest.skip(f"no Python {version} but the one that runs the tests")
    translate_one(install(wheel, python, tmp_path / "venv"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train --config=selfie2anime:light", 'pip install "ugatit_jax[train]"'),
        ("train --config=ablation:adain --config.seed=x", "config.seed is 'x'; it must be a whole"),
        ("evaluate emoji --data=emoji", 'pip install "ugatit_jax[evaluate]"'),
        ("compare emoji emoji --out=x", 'pip install "ugatit_jax[evaluate]"'),
        ("export emoji --out=x --format=onnx", 'pip install "ugatit_jax[onnx]"'),
    ],
)
def test_what_is_missing_is_asked_for_by_name(
    environment: Path, tmp_path: Path, command: str, message: str
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    ended = run(environment / "bin" / "ugatit", *command.split(), cwd=tmp_path)
    assert ended.returncode == 2 and message in ended.stderr, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
