"""The page that a finished run leaves: read back, and looked at in Chromium where there is one."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import Origin
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import Domain
from ugatit_jax.evaluation.run_page import leave_run_page, write_run_page
from ugatit_jax.evaluation.scores import PictureSet, score
from ugatit_jax.runs.directory import record_start
from ugatit_jax.training.scalars import ScalarLines
from ugatit_jax.viewing.film import film

EVIL = "<script>alert(1)</script>"
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), "chromedriver"
WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
BROKEN = "return [...document.images].filter((x) => !x.naturalWidth).length"


def report_on(folder: Path) -> dict[str, Any]:
    """A report on pictures and features of noise."""
    rng = np.random.default_rng(0)
    sets = []
    for name in ("translated", "target", "source"):
        (folder / name).mkdir(parents=True)
        files = [folder / name / f"{i}.png" for i in range(8)]
        for file in files:
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
        features = rng.gamma(1, size=(8, 6)).astype(np.float32)
        sets.append(PictureSet(Domain([file.name for file in files], files), features))
    return {
        "step": 4000,
        "checkpoint": {"step": 4000, "is": ["newest"], "best_step": 3000, "newest_step": 4000},
        "data": EVIL,
        "image_size": [64, 64],
        "scored": {"test A": {"scored": 8, "found": 8}},
        "features": {
            "extractor": EVIL,
            "dimension": 6,
            "sha256": "0123456789abcdef",
            "preprocessing": "none",
        },
        "directions": {"a2b": score(*sets, paired=True)},
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a finished run of 4 000 steps has written, with markup wherever texts can be."""
    workdir = tmp_path / "run & <b>"
    config = get_config("light")
    config.data.source, config.train.steps = EVIL, 4000
    changes = {"data.source": (EVIL, ""), "train.steps": (4000, 1_000_000)}
    (workdir / "checkpoints" / "4000").mkdir(parents=True)
    record_start(workdir, config, None, 0, Origin(f"folder:light{EVIL}", changes))
    lines = ScalarLines(workdir, False, 0)
    rng = np.random.default_rng(1)
    for step in range(20, 4001, 20):
        terms = {"generator/cycle": 1 + 3 * math.exp(-step / 800), "generator/cam": 1000 / step}
        lines.write(step, {k: v * rng.uniform(0.8, 1.2) for k, v in terms.items()})
    lines.close()
    (workdir / "samples").mkdir()
    grids = []
    for step in (1000, 2000, 3000, 4000):
        grids.append(workdir / "samples" / f"step_{step:07d}.png")
        pixels = np.tile(rng.integers(0, 256, (12, 20, 3)), (1, 1, 1)).astype(np.uint8)
        Image.fromarray(pixels).resize((1200, 720), Image.Resampling.NEAREST).save(grids[-1])
    (workdir / "samples" / "evolution.webp").write_bytes(film(grids))
    points = [
        {"step": step, "a2b": {"mean": 0.07 - step / 1e5}, "b2a": {"mean": 0.06 - step / 1e5}}
        for step in (1000, 2000, 3000, 4000)
    ]
    kids = {
        "features": {"extractor": f"$\\frac{EVIL}", "sha256": "x"},
        "untranslated": {"a2b": 0.08, "b2a": 0.07},
        "target_half": {"a2b": 0.001, "b2a": 0.001},
        "points": points,
    }
    (workdir / "kid.json").write_text(json.dumps(kids))
    return workdir


def add_report(run: Path) -> None:
    folder = run / "evaluation" / "4000"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report_on(run.parent / "noise")))


def test_the_page_has_all_that_there_is_and_loads_nothing(run: Path) -> None:
    add_report(run)
    page = write_run_page(run)
    assert page == run / "index.html"
    source = page.read_text(encoding="utf-8")
    for words in ("Samples", "Step 4000", "as a film", "Losses", "cycle", "cam", "KID to the"):
        assert words in source
    for words in ("Lowest at step 4,000: A to B 3.00", "Scores, A to B", "half of the target"):
        assert words in source
    changed = source.index("What was changed")
    assert "<summary><h2>All fields</h2></summary>" in source[changed:]
    assert "train.steps" in source[changed:] and "1000000" in source[changed:]
    assert "model.base_width" in source[source.index("All fields") :]
    assert EVIL not in source and "&lt;script&gt;" in source
    assert source.count("data:image/webp;base64,") == 1 and "http:" not in source
    assert source.count("data:image/png;base64,") == 1
    assert source.count("data:image/svg+xml;base64,") == 4  # two losses, KID both ways


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"starts": 3, "points": [{}]}'])
def test_what_is_not_there_or_no_good_is_left_out(run: Path, damage: str) -> None:
    shutil.rmtree(run / "samples")
    add_report(run)
    files = (run / "kid.json", run / "scalars.jsonl", run / "run.json")
    for file in (*files, run / "evaluation" / "4000" / "report.json"):
        file.write_text(damage) if damage else file.unlink()
    page = write_run_page(run)
    assert page is not None
    source = page.read_text(encoding="utf-8")
    assert "All fields" in source
    assert not any(x in source for x in (">Samples<", ">Losses<", ">KID to", ">Scores", "changed<"))


def test_a_page_that_cannot_be_is_told_and_no_more(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot read the config"):
        write_run_page(run)
    assert leave_run_page(run) is None
    said = capsys.readouterr().err
    assert said.startswith(f"no page {run / 'index.html'}: cannot read the config")
    assert said.count("\n") == 1


@pytest.mark.slow  # it starts a browser
@pytest.mark.skipif(
    not (CHROMIUM and shutil.which(DRIVER)),
    reason="no Chromium here: apt install chromium chromium-driver",
)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_it_fits_a_screen_and_shows_every_picture(run: Path, width: int, dark: bool) -> None:
    pytest.importorskip("selenium")
    from selenium import webdriver

    add_report(run)
    page = write_run_page(run)
    assert page is not None
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    for argument in arguments:
        options.add_argument(argument)
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which(DRIVER))) as browser:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get(page.as_uri())
        assert browser.execute_script(WIDE) <= 0
        assert browser.execute_script(BROKEN) == 0
        assert not browser.find_element("css selector", "details table").is_displayed()
        browser.find_element("css selector", "summary").click()
        assert browser.find_element("css selector", "details table").is_displayed()
        assert browser.execute_script(WIDE) <= 0
        assert browser.get_log("browser") == []
