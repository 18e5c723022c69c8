"""The model card of an export, read as hubs read it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ugatit_jax.export import main

RUN = Path(__file__).parents[1] / "golden" / "format_1" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "emoji"
    shutil.copytree(RUN, folder)
    (folder / "samples").mkdir()
    for step in (1, 3):
        Image.new("RGB", (8, 8), (step, 0, 0)).save(folder / "samples" / f"step_{step:07}.png")
    kid = {"mean": 4.321, "std_over_subsets": 1.0}
    for step, mean in ((1, 9.0), (3, 4.321)):
        rows = {"translated": {"kid_x100": kid | {"mean": mean}, "fid": 87.65}}
        report = {"step": step, "features": {"extractor": "inception-v3"}}
        report["directions"] = {"a2b": {"rows": rows}}
        (folder / "evaluation" / str(step)).mkdir(parents=True)
        (folder / "evaluation" / str(step) / "report.json").write_text(json.dumps(report))
    return folder


def test_a_card_says_what_the_model_is(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([str(run), f"--out={out}", "--card", "--licence=cc-by-4.0"]) == 0
    text = (out / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "ugatit_jax",
        "pipeline_tag": "image-to-image",
        "tags": ["unpaired-image-translation", "ugatit", "jax"],
        "license": "cc-by-4.0",
    }
    assert "inception-v3's features" in body and "| a2b | 4.32 | 87.7 |" in body
    assert "9.00" not in body and "## Limits" in body
    assert Image.open(out / "samples.png").getpixel((0, 0)) == (3, 0, 0)
    assert main([str(run), f"--out={out}", "--overwrite"]) == 0  # it is a part of an export
    assert not (out / "README.md").exists()


def test_without_scores_or_licence_it_says_so(tmp_path: Path) -> None:
    assert main([str(RUN), f"--out={tmp_path / 'out'}", "--card"]) == 0
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "Not evaluated yet" in text and "Not chosen yet." in text
    assert 'license: "other"' in text and "samples.png" not in text
