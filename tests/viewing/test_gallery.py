"""The page, read back as a browser would read it."""

import base64
import io
import re
import weakref
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery

VOID = {"meta", "img", "br", "link", "input"}


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture without fine detail, which lossy compression keeps."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))


class Page(HTMLParser):
    """A page that is well formed, and what is in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.images: dict[str, dict[str, str]] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            assert attributes["alt"] not in self.images
            self.images[attributes["alt"]] = attributes

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())

    def picture(self, alt: str) -> np.ndarray:
        kind, data = self.images[alt]["src"].split(",")
        assert kind == "data:image/webp;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            size = (int(self.images[alt]["width"]), int(self.images[alt]["height"]))
            assert image.size == size and image.format == "WEBP"
            return np.asarray(image.convert("RGB"))

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def rows() -> list[GalleryRow]:
    return [
        GalleryRow("<b>&.jpg", {"input": smooth(32, 48), "translation": smooth(32, 48, 1)}),
        GalleryRow('two".jpg', {"input": smooth(32, 48, 2)}),
        GalleryRow("3.jpg", {f"caption {i}": smooth(32, 48, i) for i in range(6)}),
    ]


@pytest.fixture(scope="module")
def page(rows: list[GalleryRow], tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("gallery") / "new" / "index.html"
    scores = [("score", "L1"), ("<translated>", "0.125")]
    sections = {
        "A to B": GallerySection(rows[:2], [scores], "From best to worst."),
        "B & A": GallerySection(rows[2:]),
        "Empty": GallerySection([]),
    }
    write_gallery(path, "Cats & dogs", sections, ["Better <than> nothing."], ["A note."])
    assert list(path.parent.iterdir()) == [path]
    return Page(path)


def test_all_pictures_are_in_the_page_under_their_names(page: Page, rows: list[GalleryRow]) -> None:
    expected = {
        f"{row.name}: {caption}": picture
        for row in rows
        for caption, picture in row.pictures.items()
    }
    assert set(page.images) == set(expected)
    for alt, picture in expected.items():
        np.testing.assert_array_equal(page.picture(alt), picture)
        assert page.images[alt]["loading"] == "lazy" and page.images[alt]["decoding"] == "async"


def test_text_is_in_the_page_as_it_was_given(page: Page) -> None:
    for text in (
        *("Cats & dogs", "A to B", "B & A", "Empty", "From best to worst.", "A note."),
        *("Better <than> nothing.", "L1", "<translated>", "0.125", "<b>&.jpg", 'two".jpg'),
    ):
        assert text in page.text
    assert not {"b", "than", "translated"} & {tag for tag, _ in page.tags}


def test_the_page_needs_nothing_else(page: Page) -> None:
    assert "://" not in page.source and "@import" not in page.source
    assert page.attributes("link") == []
    for tag, attributes in page.tags:
        assert "src" not in attributes or tag == "img"
        assert not any(name.startswith("on") for name in attributes)
    assert set(re.findall(r"url\(", page.source)) == set()
    [policy] = [x["content"] for x in page.attributes("meta") if "http-equiv" in x]
    assert policy.startswith("default-src 'none';")


def test_rows_have_addresses_and_are_reached_by_keyboard(page: Page) -> None:
    assert [row["id"] for row in page.attributes("article")] == ["1", "2", "3"]
    links = page.attributes("a")
    assert [link["href"] for link in links] == ["#1", "#2", "#3"]
    assert [link["aria-label"] for link in links] == [
        "Enlarge <b>&.jpg",
        'Enlarge two".jpg',
        "Enlarge 3.jpg",
    ]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    [dialog] = page.attributes("dialog")
    assert dialog["aria-labelledby"] in ids
    assert all(button["aria-label"] for button in page.attributes("button"))


def test_everything_that_the_script_looks_up_is_there(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    [named] = re.findall(r"\[([^]]+)\]\.map\(\(x\) => document\.getElementById", page.source)
    assert len(set(re.findall(r'"(\w+)"', named))) == 6
    assert set(re.findall(r'"(\w+)"', named)) <= ids


def test_large_pictures_become_thumbnails(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    pictures = {"wide": smooth(500, 1000), "tall": smooth(640, 64), "small": smooth(64, 64)}
    write_gallery(path, "Sizes", {"All": GallerySection([GalleryRow("x", pictures)])})
    page = Page(path)
    assert page.picture("x: wide").shape == (160, 320, 3)
    assert page.picture("x: tall").shape == (320, 32, 3)
    assert page.picture("x: small").shape == (64, 64, 3)
    middle = page.picture("x: wide")[80, 160].astype(int)
    np.testing.assert_allclose(middle, pictures["wide"][250, 500], atol=6)


def test_rows_are_taken_one_at_a_time(tmp_path: Path) -> None:
    pictures: list[weakref.ref[np.ndarray]] = []

    def load() -> Iterator[GalleryRow]:
        for i in range(5):
            picture = np.full((8, 8, 3), i, np.uint8)
            pictures.append(weakref.ref(picture))
            assert sum(there() is not None for there in pictures) <= 2
            yield GalleryRow(str(i), {"input": picture})

    path = tmp_path / "index.html"
    write_gallery(path, "Many", {"All": GallerySection(load())})
    assert len(Page(path).images) == 5
