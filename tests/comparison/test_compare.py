"""Small runs laid side by side, from their checkpoints to the page."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from similarity import noise

from ugatit_jax.compare import main
from ugatit_jax.comparison.arms import Arm, gather
from ugatit_jax.comparison.rho import learned_rho
from ugatit_jax.comparison.scores import score_table
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import save_config
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import weight_shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs.checkpoints import open_checkpoints, save
from ugatit_jax.viewing.tables import latex

SIZE = 32
POINT = {"mean": 0.05, "std": 0.01, "subsets": 100, "subset_size": 2}
KIDS = {
    "features": {"extractor": "efficientnet-lite0", "sha256": "0"},
    "pictures": {"a": 4, "b": 4},
    "untranslated": {"a2b": 0.07, "b2a": 0.07},
}


def write_run(folder: Path, data: Path, variant: str, seed: int, steps: list[int]) -> Path:
    """A run of random networks, with as many checkpoints and KIDs as there are steps."""
    config = get_config(variant)
    config.seed = seed
    config.model.base_width = 4
    config.model.residual_blocks = 1
    if variant == "light":
        config.model.local_layers = config.model.global_layers = 3
    config.data.image_size = (SIZE, SIZE)
    config.data.source = str(data)
    folder.mkdir()
    save_config(config, folder / "config.json")
    method, rng = build_method(config, mapped=True), np.random.default_rng(seed)
    for step in steps:
        generators = {
            way: jax.tree.map(
                lambda x: rng.uniform(0, 0.2, x.shape).astype(np.float32),
                weight_shapes(method, way),
            )
            for way in method.directions
        }
        nothing: dict[str, Any] = {}
        state = TrainState(jnp.asarray(step), {"generators": generators}, nothing, nothing, None)
        with open_checkpoints(folder, config.checkpoint) as checkpoints:
            save(checkpoints, method, state)
    points = [
        {"step": step, "date": f"2026-01-01T0{i + 1}:00:00+00:00", "a2b": POINT, "b2a": POINT}
        for i, step in enumerate(steps)
    ]
    (folder / "kid.json").write_text(json.dumps(KIDS | {"points": points}))
    starts = {"format": 2, "starts": [{"date": "2026-01-01T00:00:00+00:00", "step": 0}]}
    (folder / "run.json").write_text(json.dumps(starts))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    for i, domain in enumerate(("trainA", "trainB", "testA", "testB")):
        (folder / "data" / domain).mkdir(parents=True)
        for j in range(4):
            picture = Image.fromarray(noise(SIZE, SIZE, 3, seed=9 * i + j))
            picture.save(folder / "data" / domain / f"{j}.png")
    return [
        write_run(folder / "new-0", folder / "data", "light", 0, [10, 20]),
        write_run(folder / "new-1", folder / "data", "light", 1, [20]),
        write_run(folder / "old", folder / "data", "cyclegan", 0, [20]),
    ]


def cells(text: str, name: str) -> list[list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return [line[1:] for line in lines if line[0] == name]


def test_runs_are_laid_side_by_side(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*map(str, runs), "--features=efficientnet-lite0", f"--out={tmp_path}"]
    assert main(arguments) == 0
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    header, _ = cells(text, "run")
    new, old = cells(text, "new")[0], cells(text, "old")[0]
    kids = []
    for name in ("new-0", "new-1"):
        report = json.loads((tmp_path / "scores" / name / "report.json").read_text())
        kids.append(report["directions"]["a2b"]["rows"]["translated"]["kid_x100"]["mean"])
    column = header.index("KID×100")
    assert new[column] == f"{np.mean(kids):.2f} ± {abs(kids[0] - kids[1]) / 2**0.5:.2f}"
    assert new[header.index("seeds")] == "2" and old[header.index("seeds")] == "1"
    assert new[header.index("hours")] == "1.50" and old[header.index("hours")] == "1.00"
    assert old[header.index("paper")] == "selfie2anime: 13.08 ± 0.49"
    assert ["ugatit", "cyclegan"] in cells(text, "method")
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    for caption in ("input", "new", "old"):
        # 8 rows of pictures, and as many with the heat maps of those that have any.
        assert page.count(f">{caption}</figcaption>") == (8 if caption == "old" else 16)
    assert page.count('<img class="plot"') == 1 + 2  # curves, and ρ of a method that has it
    tex = (tmp_path / "comparison.tex").read_text(encoding="utf-8")
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 2


def test_what_does_not_compare_is_refused(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(arguments: list[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, f"--out={tmp_path / 'out'}", "--features=efficientnet-lite0"])
        assert ended.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "compares with nothing: give two runs or more" in refused([str(runs[0])])
    assert "no run in" in refused([str(runs[0]), str(tmp_path)])
    elsewhere = tmp_path / "data"
    (elsewhere / "testA").mkdir(parents=True)
    for name in ("trainA", "trainB", "testB"):
        (elsewhere / name).symlink_to(runs[0].parent / "data" / name)
    Image.fromarray(noise(SIZE, SIZE, 3, seed=1)).save(elsewhere / "testA" / "0.png")
    other = write_run(tmp_path / "other", elsewhere, "light", 0, [20])
    assert "new-0 and other do not compare: data is" in refused([str(runs[0]), str(other)])


def test_rho_is_that_of_the_checkpoints(runs: list[Path]) -> None:
    (arm,) = gather(runs[:2])
    layers = learned_rho(arm.runs[0], "a2b")
    assert [set(steps) for steps in layers.values()] == [{10, 20}] * len(layers)
    names = list(layers)
    assert names[0].startswith("decoder_0") and names[-1].startswith("up")
    for step in (10, 20):
        weights: Any = Translator.load(runs[0], step).weights["a2b"]
        for layer, by_step in layers.items():
            found = weights
            for name in layer.split("/"):
                found = found[name]
            np.testing.assert_array_equal(by_step[step], found["rho"])


def test_means_over_seeds_by_hand(runs: list[Path]) -> None:
    (new,), (old,) = gather(runs[:2]), gather(runs[2:])
    assert isinstance(new, Arm)

    def report(kid: float | None, l1: float) -> dict[str, Any]:
        row = {
            "kid_x100": kid and {"mean": kid, "std_over_subsets": 9.0},
            "to_counterpart": {"l1": l1, "ssim": 0.5, "delta_e": 10.0},
        }
        rows = {"translated": row, "target_half": {"kid_x100": {"mean": 0.25}}}
        return {"directions": {"a2b": {"rows": rows}}, "parameters": 12345, "step": 20}

    reports = {"new-0": report(1.0, 0.1), "new-1": report(3.0, 0.3), "old": report(None, 0.2)}
    more = {"new-0": {"steps/s": 2.0}, "new-1": {"steps/s": 3.0}, "old": {"steps/s": 7.0}}
    header, *lines = score_table([new, old], reports, "a2b", more)
    found = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    spread = np.sqrt(2)  # of 1 and 3
    assert found["new"]["KID×100"] == f"2.00 ± {spread:.2f}"
    assert found["new"]["L1"] == f"0.2000 ± {spread / 10:.4f}"
    assert found["new"]["SSIM"] == "0.5000 ± 0.0000"
    assert (found["new"]["parameters"], found["new"]["steps/s"]) == ("12,345", "2.50")
    assert (found["old"]["KID×100"], found["old"]["steps/s"]) == ("–", "7.00")
    assert found["half of the target"]["KID×100"] == "0.25"
    assert "FID" not in header  # nobody has one


def test_latex_says_what_the_table_says() -> None:
    text = latex([["a_b", "KID×100"], ["50 % & more", "1.0 ± 0.1"]])
    assert text.splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a\_b & KID$\times$100 \\",
        r"\midrule",
        r"50 \% \& more & 1.0 $\pm$ 0.1 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
