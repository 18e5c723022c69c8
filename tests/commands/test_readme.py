"""The commands that the README gives, run as it gives them, on a small network."""

import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from readme import ROOT, commands

SMALL = (
    "--config.data.image_size=(32,32) --config.model.base_width=4 --config.model.residual_blocks=1 "
    "--config.model.local_layers=3 --config.model.global_layers=4 --config.train.steps=2"
)


@pytest.mark.slow
def test_train_translate_and_evaluate_as_the_readme_says(tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB", "../photos"):
        (tmp_path / "my_pictures" / folder).mkdir(parents=True)
        for i in range(3):
            picture = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
            picture.save(tmp_path / "my_pictures" / folder / f"{i}.png")

    python = [command for command in commands() if command.startswith("python -m ")]
    picture.save(tmp_path / "drawing.png")
    assert [command.split()[2] for command in python] == [
        "ugatit_jax.translate",
        "ugatit_jax.main",
        "ugatit_jax.translate",
        "ugatit_jax.evaluate",
        "ugatit_jax.evaluate",
        "ugatit_jax.data",  # in tests/curation
        "ugatit_jax.plan",  # in test_plan.py
        "ugatit_jax.prefer",  # in tests/preference
        "ugatit_jax.prefer",
    ]
    python[1] += f" {SMALL}"
    for command in python[:5]:
        subprocess.run(
            [sys.executable, *shlex.split(command)[1:]],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=True,
            timeout=600,
        )
    assert (tmp_path / "drawings" / "drawing.png").exists()
    assert (tmp_path / "runs" / "mine" / "samples" / "step_0000002.png").exists()
    assert sorted(path.name for path in (tmp_path / "translated").rglob("*.png")) == [
        "0.png",
        "1.png",
        "2.png",
    ]
    assert (tmp_path / "runs" / "mine" / "evaluation" / "2" / "index.html").exists()
    assert (tmp_path / "runs" / "mine" / "kid.png").exists()
    assert (tmp_path / "evaluation" / "translated" / "report.md").exists()


def test_the_scripts_that_the_readme_names_are_there():
    scripts = [command for command in commands() if command.startswith("./")]
    assert scripts == ["./launch/demo.sh", "./launch/test.sh"]
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)


def test_every_file_that_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"`((?:configs|tests|launch)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\((\w[\w/.]+)\)", text):
        assert (ROOT / name).exists(), name
