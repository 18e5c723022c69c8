"""The page, served by the real program, in a real browser and to many clients at once."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
RUN = ROOT / "tests" / "golden" / "format_1" / "run"
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), "chromedriver"
pytest.importorskip("gradio")
selenium = pytest.importorskip("selenium")
in_a_browser = pytest.mark.skipif(
    not (CHROMIUM and shutil.which(DRIVER)),
    reason="no Chromium here: apt install chromium chromium-driver",
)
pytestmark = pytest.mark.slow

from selenium import webdriver  # noqa: E402
from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

DESK, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{['one', 'two', 'three'][i]} picture.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page of a run; when it has ended, nothing that was uploaded is left."""
    temporary = tmp_path_factory.mktemp("temporary")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ugatit_jax.page", str(RUN), f"--port={port}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        line = program.stdout.readline()
        try:
            assert line.startswith(f"http://127.0.0.1:{port}/ translates with"), line
            yield line.split()[0]
            program.send_signal(signal.SIGINT)
            assert program.wait(60) == 0
        finally:
            program.kill()  # where it does not listen, as in the background of a shell
    assert not [x for x in temporary.rglob("*") if x.is_file() and x.suffix in (".png", ".zip")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"):
        options.add_argument(argument)
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which(DRIVER))
    )
    yield driver
    driver.quit()


def look_at(browser: Any, url: str, size: tuple[int, int], dark: bool = False) -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(url)
    wait(lambda: button(browser, "Translate"))


def wait(what: Callable[[], Any]) -> Any:
    """Wait for what the page is to show; parts of it are drawn anew meanwhile."""
    until, found = time.monotonic() + 60, None
    while not found and time.monotonic() < until:
        with contextlib.suppress(StaleElementReferenceException):
            found = what()
        time.sleep(0.1)
    return found


def button(browser: Any, text: str) -> Any:
    found = [x for x in browser.find_elements(By.TAG_NAME, "button") if x.text.strip() == text]
    return found[0] if found else None


def press(browser: Any, text: str) -> None:
    def pressed() -> bool:
        button(browser, text).click()
        return True

    assert wait(pressed)


def upload(browser: Any, *paths: Path) -> None:
    def given() -> bool:
        (field, *_) = browser.find_elements(By.CSS_SELECTOR, "input[type=file]")
        field.send_keys("\n".join(map(str, paths)))
        return True

    assert wait(given)
    shown = "//button[contains(@class, 'thumbnail')]"
    assert wait(lambda: len(browser.find_elements(By.XPATH, shown)) >= len(paths))


@in_a_browser
@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_pictures_are_dropped_and_translated(
    page: str, browser: Any, files: Path, size: tuple[int, int], dark: bool
) -> None:
    look_at(browser, page, size, dark)
    upload(browser, files / "one picture.png", files / "broken.png", files / "two picture.png")
    press(browser, "Translate")
    text = "return document.body.innerText"
    assert wait(lambda: "cannot read broken.png" in browser.execute_script(text))
    said = browser.execute_script(text)
    assert "one picture.png" in said and "two picture.png" in said
    assert wait(lambda: button(browser, "Download all as a zip file").is_enabled())
    wide = "return document.documentElement.scrollWidth"
    assert browser.execute_script(wide) <= size[0]
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    levels = [int(x) for x in colour.strip("rgba()").split(",")[:3]]
    assert (max(levels) < 80) == dark
    asked = "return performance.getEntriesByType('resource').map(x => x.name)"
    assert all(name.startswith((page, "data:", "blob:")) for name in browser.execute_script(asked))
    worst = [x["message"] for x in browser.get_log("browser") if x["level"] == "SEVERE"]
    assert not worst


@in_a_browser
def test_the_keyboard_is_enough(page: str, browser: Any, files: Path) -> None:
    look_at(browser, page, DESK)
    upload(browser, files / "one picture.png")
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element.text.strip() == "Translate":
            break
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert wait(lambda: button(browser, "Download all as a zip file").is_enabled())


@in_a_browser
def test_a_training_is_watched(page: str, browser: Any) -> None:
    look_at(browser, page, DESK)
    (tab,) = [
        x for x in browser.find_elements(By.XPATH, "//button[@role='tab']") if "Train" in x.text
    ]
    tab.click()
    text = "return document.body.innerText"
    assert wait(lambda: "saved at step" in browser.execute_script(text))


def test_twenty_at_once_lose_nothing(page: str, files: Path) -> None:
    from gradio_client import Client, handle_file

    def translate(i: int) -> int:
        client = Client(page, verbose=False)
        file = files / f"{['one', 'two', 'three'][i % 3]} picture.png"
        upload = [{"image": handle_file(str(file)), "caption": None}]
        gallery, *_ = client.predict(upload, "a2b", "crop", False, False, 3, api_name="/translate")
        (found,) = gallery
        pixels = np.asarray(Image.open(found["image"]).convert("RGB")).astype(int)
        return int(pixels.sum())

    with ThreadPoolExecutor(20) as people:
        sums = list(people.map(translate, range(20)))
    assert [len(set(sums[i::3])) for i in range(3)] == [1, 1, 1] and len(set(sums[:3])) == 3


def test_files_of_the_host_are_not_read(page: str, files: Path) -> None:
    secret = files / "one picture.png"  # which was not uploaded
    for path in ("/etc/hostname", str(secret), str(RUN / "config.json")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{page}gradio_api/file={urllib.request.quote(path)}")
        with refused.value as answer:
            assert answer.code in (403, 404)
    # Nor by naming one as if it had been uploaded.
    pretended = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    data = [[{"image": pretended, "caption": None}], "a2b", "crop", False, False, 3]
    request = urllib.request.Request(
        f"{page}gradio_api/call/translate",
        json.dumps({"data": data}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{page}gradio_api/call/translate/{event}") as answer:
        assert b"event: error" in answer.read()
