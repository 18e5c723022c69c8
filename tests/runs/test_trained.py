"""The model that comes with the program: found by its name, and worth having."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.data.emoji import prepare
from ugatit_jax.inference.translator import Translator
from ugatit_jax.metrics.similarity import colour_difference, l1, ssim
from ugatit_jax.runs.trained import TRAINED, names, open_model
from ugatit_jax.translate import main as translate


def test_a_name_is_that_of_a_model_unless_a_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert names() == ["emoji"]
    assert open_model("emoji") == TRAINED / "emoji"
    assert open_model("other") == Path("other")
    (tmp_path / "emoji").mkdir()
    assert open_model("emoji") == Path("emoji")


def test_it_draws_one_style_like_the_other() -> None:
    """On test pictures, whose counterparts it has not seen: nearer to them than their inputs."""
    folder = prepare(find_cache_dir(""))
    files = sorted(path.name for path in (folder / "testA").iterdir())[::8]
    translator = Translator.load("emoji")
    size = translator.image_size[::-1]
    a, b = (
        [
            np.asarray(Image.open(folder / domain / name).convert("RGB").resize(size))
            for name in files
        ]
        for domain in ("testA", "testB")
    )
    translated = translator(a)
    for measure, sign in ((l1, 1), (ssim, -1), (colour_difference, 1)):
        ours, before = (
            np.mean([measure(x, y) for x, y in zip(pictures, b, strict=True)])
            for pictures in (translated, a)
        )
        assert sign * ours < sign * before, measure.__name__


def test_the_command_takes_its_name_and_its_card_says_whose_drawings_it_learned_from(
    tmp_path: Path,
) -> None:
    Image.new("RGB", (100, 80), "green").save(tmp_path / "green.png")
    assert translate(["emoji", str(tmp_path / "green.png"), "--out", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "green.png") as picture:
        assert picture.size == Translator.load("emoji").image_size[::-1]
    card = (TRAINED / "README.md").read_text()
    for whose in ("OpenMoji", "Twemoji", "CC BY-SA 4.0", "CC BY 4.0"):
        assert re.search(whose, card)
