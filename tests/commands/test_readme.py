"""The commands that the README gives, run as it gives them, on a small network."""

import os
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
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB", "../photos"):
        (tmp_path / "my_pictures" / folder).mkdir(parents=True)
        for i in range(3):
            picture = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
            picture.save(tmp_path / "my_pictures" / folder / f"{i}.png")

    picture.save(tmp_path / "drawing.png")
    ours = [shlex.split(command) for command in commands() if command.startswith("ugatit ")]
    assert [words[1] for words in ours] == [
        "translate",
        "import-weights",  # of a file that is not here; in tests/interop
        "translate",  # with it
        "train",
        "translate",
        "evaluate",
        "evaluate",
        "plan",  # in test_plan.py
    ]
    ours[3] += SMALL.split()
    for words in (ours[0], *ours[3:7]):
        subprocess.run(
            [sys.executable, "-m", "ugatit_jax", *words[1:]],
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
    assert scripts == ["./launch/demo.sh"]
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
