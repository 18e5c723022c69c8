"""The page in a real browser, where there is one: Chromium, and its driver by WebDriver."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), "chromedriver"
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and shutil.which(DRIVER)),
    reason="no Chromium here: apt install chromium chromium-driver",
)
selenium = pytest.importorskip("selenium")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

DESK, PHONE = (1280, 800), (390, 844)
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ARGUMENTS:
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which(DRIVER))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def look_at(browser: Any, url: str, size: tuple[int, int] = DESK, dark: bool = False) -> None:
    """Open the page anew, as in a window of its own of this size."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    touch = {"enabled": size == PHONE, "maxTouchPoints": 5}
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", touch)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(url)
    browser.execute_script("sessionStorage.clear()")
    browser.get(url)


def wait(what: Callable[[], Any]) -> Any:
    until = time.monotonic() + 20
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def text(browser: Any, name: str) -> str:
    return browser.find_element(By.ID, name).text


def press(browser: Any, *keys: str) -> None:
    """Press keys wherever the focus is."""
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def chosen(out: Path) -> list[dict[str, Any]]:
    file = out / "choices.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def complaints(browser: Any) -> list[str]:
    return [line["message"] for line in browser.get_log("browser")]


def test_by_keyboard_alone(browser: Any, serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, "anime") as server:
        look_at(browser, server.url)
        assert complaints(browser) == []
        press(browser, "KL", Keys.ENTER)
        assert wait(lambda: text(browser, "question")) == "Which translation to anime is best?"
        assert text(browser, "place") == "Picture 1 of 4" and text(browser, "who") == "KL"
        for i, key in enumerate("213"):
            assert wait(lambda i=i: text(browser, "place") == f"Picture {i + 1} of 4")
            press(browser, key)
        assert wait(lambda: text(browser, "place") == "Picture 4 of 4")
        press(browser, "4", "0", "x")  # no translation has these
        press(browser, Keys.BACKSPACE)
        assert wait(lambda: text(browser, "place") == "Picture 3 of 4")
        [before] = browser.find_elements(By.CSS_SELECTOR, "#places .chosen")
        assert before.text == "3" and before.get_attribute("aria-pressed") == "true"
        press(browser, "1")
        assert wait(lambda: text(browser, "place") == "Picture 4 of 4")
        buttons = browser.find_elements(By.CSS_SELECTOR, "#places button")
        for _ in range(9):  # to a translation by Tab, and chosen by Enter
            if browser.switch_to.active_element == buttons[1]:
                break
            press(browser, Keys.TAB)
        press(browser, Keys.ENTER)
        assert wait(lambda: "all 4 pictures are done" in text(browser, "thanks"))
        assert complaints(browser) == []
    choices = chosen(tmp_path)
    places = [x["shown"].index(x["choice"]) + 1 for x in choices]
    assert places == [2, 1, 3, 1, 2]
    assert {x["person"] for x in choices} == {"kl"}
    assert all(0 < x["seconds"] < 20 for x in choices)


def test_by_touch_and_the_next_person(browser: Any, serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        look_at(browser, server.url, PHONE)
        press(browser, "Ann", Keys.ENTER)
        for i in range(2):
            assert wait(lambda i=i: text(browser, "place") == f"Picture {i + 1} of 4")
            browser.find_elements(By.CSS_SELECTOR, "#places button")[2].click()
        assert wait(lambda: text(browser, "place") == "Picture 3 of 4")
        browser.find_element(By.ID, "leave").click()
        press(browser, "Zoë", Keys.ENTER)
        assert wait(lambda: text(browser, "place") == "Picture 1 of 4")
        assert text(browser, "who") == "Zoë"
        browser.refresh()  # who sits here is known
        assert wait(lambda: text(browser, "who") == "Zoë")
        browser.find_element(By.ID, "leave").click()
        press(browser, "ANN", Keys.ENTER)
        assert wait(lambda: text(browser, "place") == "Picture 3 of 4")
    assert [x["shown"].index(x["choice"]) for x in chosen(tmp_path)] == [2, 2]


@pytest.mark.parametrize("size", [DESK, PHONE, (1024, 600), (844, 390)])
@pytest.mark.parametrize("dark", [False, True])
def test_all_is_seen_at_once(
    browser: Any, serve: Any, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    with serve(tmp_path, "a picture by Vincent van Gogh") as server:
        look_at(browser, server.url, size, dark)
        press(browser, "KL", Keys.ENTER)
        assert wait(lambda: text(browser, "place") == "Picture 1 of 4")
        boxes = browser.execute_script(
            "return [...document.querySelectorAll('#stage img')]"
            ".map((x) => x.getBoundingClientRect())"
        )
        width, height = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        colours = browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        )
    assert len(boxes) == 4 and len({(box["width"], box["height"]) for box in boxes}) == 1
    assert width <= size[0]
    for box in boxes:
        assert box["left"] >= 0 and box["right"] <= size[0]
    if size[1] >= 600:
        assert height <= size[1]
    assert boxes[0]["width"] >= 100
    light = "rgb(255, 255, 255)"
    assert (colours[0] == light) != dark


def test_a_server_that_is_gone_is_told_and_nothing_is_skipped(
    browser: Any, serve: Any, tmp_path: Path
) -> None:
    with serve(tmp_path) as server:
        look_at(browser, server.url)
        press(browser, "KL", Keys.ENTER)
        assert wait(lambda: text(browser, "place") == "Picture 1 of 4")
        (tmp_path / "choices.jsonl").mkdir()
        press(browser, "1")
        assert wait(lambda: "Not saved: it could not be saved" in text(browser, "alert"))
        assert text(browser, "place") == "Picture 1 of 4"
        (tmp_path / "choices.jsonl").rmdir()
        press(browser, "1")
        assert wait(lambda: text(browser, "place") == "Picture 2 of 4")
        assert text(browser, "alert") == ""
        network = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", network)
        press(browser, "1")
        assert wait(lambda: "The server does not answer" in text(browser, "alert"))
        assert text(browser, "place") == "Picture 2 of 4"
        assert not browser.find_elements(By.CSS_SELECTOR, "#places .chosen")
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", network | {"offline": False})
    assert len(chosen(tmp_path)) == 1


HARM = "<img src=x onerror=\"document.title='harm'\">'\"&<script>document.title='harm'</script>"


def test_names_of_all_kinds_are_words_on_every_page(
    browser: Any, serve: Any, tmp_path: Path
) -> None:
    """What people and files are called is shown, and is no part of the page."""
    complaints(browser)  # of what other tests did
    with serve(tmp_path / "study", HARM) as server:
        look_at(browser, server.url)
        press(browser, HARM[:40], Keys.ENTER)
        assert wait(lambda: text(browser, "place") == "Picture 1 of 4")
        assert text(browser, "question") == f"Which translation to {HARM} is best?"
        assert text(browser, "who") == HARM[:40]
        assert complaints(browser) == [] and browser.title == "Which translation is best?"
    row = GalleryRow(HARM, {HARM: np.zeros((8, 8, 3), np.uint8)})
    section = GallerySection([row], [[[HARM, HARM], [HARM, HARM]]], HARM)
    write_gallery(tmp_path / "index.html", HARM, {HARM: section}, [HARM], [HARM])
    browser.get((tmp_path / "index.html").as_uri())
    assert browser.title == HARM
    assert [x.text for x in browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3, p, th, td")][
        :8
    ] == [HARM] * 8
    browser.find_element(By.CSS_SELECTOR, "article a").click()
    assert wait(lambda: text(browser, "heading") == HARM)
    assert len(browser.find_elements(By.CSS_SELECTOR, "script")) == 1
    assert not browser.find_elements(By.CSS_SELECTOR, "[onerror], img[src=x]")
    assert complaints(browser) == []
