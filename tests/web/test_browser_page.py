"""The page of one file that translates in a browser, in a real one, from the disk."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), "chromedriver"
RUNTIME = "onnxruntime-web@1.30"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and shutil.which(DRIVER) and shutil.which("npm")),
        reason="no Chromium or no npm here: apt install chromium chromium-driver npm",
    ),
]
pytest.importorskip("onnx")
selenium = pytest.importorskip("selenium")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

from ugatit_jax.inference.translator import Translator  # noqa: E402

PIXELS = """
const canvas = document.getElementById(arguments[0]);
const context = canvas.getContext("2d", { willReadFrequently: true });
return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
"""


def pixels(browser: webdriver.Chrome, canvas: str) -> np.ndarray:
    found = np.array(browser.execute_script(PIXELS, canvas), np.uint8)
    side = int((len(found) // 4) ** 0.5)
    return found.reshape(side, side, 4)[..., :3]


def test_one_file_translates_as_the_program_does(tmp_path: Path) -> None:
    packed = subprocess.run(["npm", "pack", RUNTIME], cwd=tmp_path, capture_output=True, text=True)
    if packed.returncode:
        pytest.skip(f"no {RUNTIME} to be had: {packed.stderr.splitlines()[-1:]}")
    shutil.unpack_archive(next(tmp_path.glob("*.tgz")), tmp_path, filter="data")
    page = tmp_path / "translate.html"
    command = [sys.executable, ROOT / "docs" / "browser" / "build.py", f"--out={page}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    runtime = f"--runtime={tmp_path / 'package'}"
    subprocess.run([*map(str, command), runtime], env=environment, check=True)
    assert page.stat().st_size < 12e6

    square = np.full((64, 64, 3), 255, np.uint8)
    square[12:52, 12:52] = 0  # an outline, which a translation takes away
    square[15:49, 15:49] = (200, 30, 30)
    Image.fromarray(square).save(tmp_path / "square.png")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"):
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which(DRIVER))
    with webdriver.Chrome(options=options, service=service) as browser:

        def wait(text: str) -> None:
            until = time.monotonic() + 120
            while text not in browser.find_element(By.ID, "said").text:
                assert time.monotonic() < until, browser.find_element(By.ID, "said").text
                time.sleep(0.1)

        browser.get(page.as_uri())
        wait("Ready")
        (field,) = browser.find_elements(By.CSS_SELECTOR, "input[type=file]")
        field.send_keys(str(page))
        wait("translate.html is no picture")
        field.send_keys(str(tmp_path / "square.png"))
        wait("Translated in")
        np.testing.assert_array_equal(pixels(browser, "before"), square)
        expected = Translator.load("emoji", dtype="float32")(square).astype(int)
        assert np.abs(pixels(browser, "after") - expected).mean() < 0.3
        assert np.abs(pixels(browser, "after").astype(int) - square).mean() > 1
        asked = "return performance.getEntriesByType('resource').map(x => x.name)"
        names = browser.execute_script(asked)
        assert all(name.startswith(("blob:", "data:")) for name in names)
