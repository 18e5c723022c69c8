"""An export is scored like the run that it was made of."""

import json
from pathlib import Path

import pytest
from PIL import Image
from similarity import noise

from ugatit_jax.console.errors import InputError
from ugatit_jax.evaluate import main
from ugatit_jax.evaluation.evaluate_run import evaluate_run

GOLDEN = Path(__file__).parents[1] / "golden" / "format_1"
RUN, EXPORT = GOLDEN / "run", GOLDEN / "export"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for i, domain in enumerate(("trainA", "trainB", "testA", "testB")):
        for j in range(4):
            (folder / domain).mkdir(exist_ok=True)
            Image.fromarray(noise(16, 16, 3, seed=9 * i + j)).save(folder / domain / f"{j}.png")
    return folder


def test_an_export_needs_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is an export, without a data set: say --data"):
        evaluate_run(EXPORT, out=tmp_path)


def test_an_export_is_scored_and_shown_on_the_page_of_a_run(data: Path, tmp_path: Path) -> None:
    common = ["--data", str(data), "--features", "efficientnet-lite0"]
    export, out = tmp_path / "export", tmp_path / "run"
    assert main([str(EXPORT), *common, "--out", str(export)]) == 0
    assert json.loads((export / "report.json").read_text())["step"] == 6
    assert "An export of step 6." in (export / "report.md").read_text()

    assert main([str(RUN), *common, "--out", str(out), "--beside", str(EXPORT)]) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count(">export</figcaption>") == 8
    for direction in ("a2b", "b2a"):
        for i in range(4):
            beside = out / "beside" / "export" / direction / f"{i}.png"
            assert beside.read_bytes() == (export / direction / f"{i}.png").read_bytes()
