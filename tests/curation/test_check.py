"""Folders with one defect each: it is found, and nothing else is."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_pictures import SIDE, made_picture, make_data_set
from PIL import Image, ImageDraw, ImageOps

from ugatit_jax.data.__main__ import main


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data_set(tmp_path_factory.mktemp("clean") / "pictures")


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    shutil.copytree(clean, tmp_path / "pictures")
    return tmp_path / "pictures"


def check(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the report of a check without a network."""
    out = folder.parent / "report"
    arguments = ["check", str(folder), f"--size={SIDE}", f"--out={out}", "--no-network", *more]
    status = main(arguments)
    assert (out / "index.html").read_text().startswith("<!doctype html>")
    return status, json.loads((out / "report.json").read_text())


def only(report: dict[str, Any]) -> dict[str, Any]:
    [finding] = report["findings"]
    return finding


def again(image: Image.Image, **options: Any) -> Image.Image:
    """A picture as it is read from a file that it was saved to."""
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return Image.open(buffer).convert("RGB")


def enlarged(image: Image.Image) -> Image.Image:
    half = image.resize((SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS)
    return half.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def letterboxed(image: Image.Image) -> Image.Image:
    return ImageOps.pad(ImageOps.fit(image, (SIDE, SIDE // 2)), (SIDE, SIDE), color=(20, 20, 20))


def test_nothing_is_found_where_nothing_is_wrong(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, report = check(folder)
    assert status == 0 and report["findings"] == []
    counts = {line["split"]: line["pictures"] for line in report["splits"]}
    assert counts == {"trainA": "36", "trainB": "36", "testA": "4", "testB": "4"}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


# Of pictures of a domain, one in ten.
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "grey": lambda image: again(image.convert("L"), format="JPEG", quality=80),
    "enlarged": enlarged,
    "tiny": lambda image: image.resize((SIDE // 3, SIDE // 3), Image.Resampling.LANCZOS),
    "border": letterboxed,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_pictures_out_of_place_are_found_and_left_out(folder: Path, kind: str) -> None:
    names = [f"trainB/{i:02}.png" for i in (3, 14, 25)]
    for name in names:
        changed = CHANGES[kind](Image.open(folder / name))
        (folder / name).unlink()
        changed.save(folder / name)
    status, report = check(folder, f"--fix={folder.parent / 'fixed'}")
    finding = only(report)
    assert status == 1 and finding["level"] == "defect"
    assert (finding["kind"], finding["left_out"]) == (kind, names)
    kept = {path.relative_to(folder.parent / "fixed") for path in folder.parent.glob("fixed/*/*")}
    everything = {path.relative_to(folder) for path in folder.glob("*/*")}
    assert {path.as_posix() for path in everything - kept} == set(names) and kept < everything


# Of a picture of trainA, and what is made of it elsewhere.
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "quality": lambda image: again(image, format="JPEG", quality=40),
    "smaller": lambda image: image.resize((SIDE * 3 // 4,) * 2, Image.Resampling.BICUBIC),
    "brighter": lambda image: image.point([min(255, int(x * 1.08)) for x in range(256)] * 3),
    "cut": lambda image: image.crop((1, 1, SIDE - 1, SIDE - 1)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(
    ("split", "where", "left_out"),
    [
        ("trainA", "within a split", ["trainA/copy.png"]),
        ("testA", "across splits", ["trainA/05.png"]),  # what is tested with stays as it is
        ("trainB", "across domains", ["trainA/05.png", "trainB/copy.png"]),
    ],
)
def test_near_duplicates_are_found(
    folder: Path, how: str, split: str, where: str, left_out: list[str]
) -> None:
    COPIES[how](Image.open(folder / "trainA" / "05.png")).save(folder / split / "copy.png")
    finding = only(check(folder)[1])
    assert finding["kind"] == f"near duplicates {where}"
    [group] = finding["groups"]
    assert sorted(group) == sorted(["trainA/05.png", f"{split}/copy.png"])
    assert finding["left_out"] == left_out


def test_of_duplicates_the_largest_is_kept(folder: Path) -> None:
    large = made_picture(999, 2 * SIDE)
    large.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(folder / "trainA" / "a.png")
    large.save(folder / "trainA" / "b.png")
    assert only(check(folder)[1])["left_out"] == ["trainA/a.png"]


def test_exact_duplicates_are_those_of_equal_pixels(folder: Path) -> None:
    picture = Image.open(folder / "trainB" / "07.png")
    picture.save(folder / "trainB" / "lossless.webp", lossless=True)
    shutil.copy(folder / "trainB" / "07.png", folder / "trainB" / "again.png")
    finding = only(check(folder)[1])
    assert finding["kind"] == "exact duplicates within a split"
    assert sorted(finding["groups"][0]) == [
        f"trainB/{x}" for x in ("07.png", "again.png", "lossless.webp")
    ]
    assert finding["left_out"] == ["trainB/again.png", "trainB/lossless.webp"]


def test_other_colours_are_another_picture(folder: Path) -> None:
    """A heart in red and in blue: the hash sees no colour."""
    for name, colour in (("red", (230, 40, 40)), ("blue", (40, 90, 230))):
        image = Image.new("RGB", (SIDE, SIDE), (250, 250, 250))
        ImageDraw.Draw(image).ellipse((8, 12, 56, 50), fill=colour)
        image.save(folder / "trainA" / f"{name}.png")
    assert check(folder)[1]["findings"] == []


def test_a_watermark_is_found_where_it_is(folder: Path) -> None:
    for path in folder.glob("*A/*.png"):
        image = Image.open(path)
        marked = image.copy()
        draw = ImageDraw.Draw(marked)
        draw.text((30, 48), "STOCK", fill="white", font_size=11)
        Image.blend(image, marked, 0.4).save(path)
    finding = only(check(folder)[1])
    assert (finding["kind"], finding["domain"], finding["left_out"]) == ("mark", "A", [])
    top, bottom, left, right = map(int, re.findall(r"(\d+)%", finding["text"]))
    assert 70 <= top < bottom <= 97 and 43 <= left < right <= 100


def test_broken_pictures_are_found(folder: Path) -> None:
    (folder / "trainA" / "text.jpg").write_text("no picture")
    whole = (folder / "trainA" / "08.png").read_bytes()
    (folder / "trainA" / "08.png").write_bytes(whole[: len(whole) // 2])
    (folder / "trainA" / "empty.gif").touch()
    status, report = check(folder)
    finding = only(report)
    assert status == 1 and finding["kind"] == "broken"
    assert finding["left_out"] == [f"trainA/{x}" for x in ("08.png", "empty.gif", "text.jpg")]
    assert all(said.startswith("cannot read") for said in finding["said"].values())


def test_a_folder_with_nothing_to_learn_from_is_found(folder: Path) -> None:
    shutil.rmtree(folder / "trainB")
    assert only(check(folder)[1])["kind"] == "missing"


def test_notes_are_no_defects(folder: Path) -> None:
    Image.open(folder / "trainA" / "00.png").save(folder / "trainA" / "scan.tiff")
    made_picture(1000, 3 * SIDE).crop((0, 0, 3 * SIDE, SIDE)).save(folder / "trainB" / "wide.png")
    status, report = check(folder)
    found = {(x["kind"], x["level"], x["groups"][0][0]) for x in report["findings"]}
    assert status == 0
    assert found == {("not read", "note", "trainA/scan.tiff"), ("shape", "note", "trainB/wide.png")}
    assert check(folder, "--strict")[0] == 1


def test_domains_that_framing_alone_tells_are_found(folder: Path) -> None:
    """Subjects in the middle, in one domain alone. The other's pictures stay what they are."""
    for path in folder.glob("*A/*.png"):
        whole = Image.open(path)
        ground = Image.fromarray(np.asarray(whole.resize((3, 3)).resize((SIDE, SIDE), 3)))
        ground.paste(whole.resize((SIDE // 2, SIDE // 2)), (SIDE // 4, SIDE // 4))
        ground.save(path)
    _, report = check(folder)
    assert "told by framing" in {finding["kind"] for finding in report["findings"]}
    assert report["told_apart"]["framing"]["accuracy"] > 0.95


def test_domains_that_colours_alone_tell_are_found(folder: Path) -> None:
    for path in folder.glob("*B/*.png"):
        red, green, blue = Image.open(path).split()
        Image.merge("RGB", (red, green, blue.point([x // 3 for x in range(256)]))).save(path)
    _, report = check(folder)
    assert only(report)["kind"] == "told by colours"
    told = report["told_apart"]
    assert told["colours"]["accuracy"] > 0.9 and 0.3 < told["framing"]["accuracy"] < 0.7


def test_any_folder_of_pictures_will_do(folder: Path) -> None:
    shutil.copy(folder / "trainA" / "00.png", folder / "trainA" / "more.png")
    finding = only(check(folder / "trainA")[1])
    assert finding["groups"] == [["00.png", "more.png"]]


def test_a_cleaned_copy_is_made_of_links_and_is_clean(folder: Path) -> None:
    shutil.copy(folder / "trainA" / "00.png", folder / "trainA" / "more.png")
    (folder / "trainB" / "broken.png").touch()
    fixed = folder.parent / "fixed"
    assert check(folder, f"--fix={fixed}")[0] == 1
    assert os.path.samefile(fixed / "trainA" / "00.png", folder / "trainA" / "00.png")
    assert check(fixed)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fix=full"], "full is there and not empty"),
        (["--fix=pictures/fixed"], "pictures/fixed is inside pictures"),
        (["--out=pictures/report"], "--out pictures/report is inside pictures"),
        (["--size=0"], "--size 0: give what is trained at"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    folder: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "full").mkdir()
    (folder.parent / "full" / "file").touch()
    with pytest.raises(SystemExit) as caught:
        main(["check", "pictures", *arguments])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {words}") and error.count("\n") == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["full", "pictures"]


def test_a_copy_that_would_be_of_no_use_is_not_made(folder: Path) -> None:
    for path in folder.glob("trainB/*.png"):
        path.write_bytes(b"")
    with pytest.raises(SystemExit):
        check(folder, f"--fix={folder.parent / 'fixed'}")
    assert not (folder.parent / "fixed").exists()


@pytest.mark.slow
def test_the_picture_farthest_from_the_others_is_shown(folder: Path) -> None:
    """By the real network: a blank page among shapes."""
    Image.new("RGB", (SIDE, SIDE), (255, 250, 240)).save(folder / "trainA" / "blank.png")
    out = folder.parent / "report"
    main(["check", str(folder), f"--size={SIDE}", f"--out={out}"])
    report = json.loads((out / "report.json").read_text())
    assert report["features"] == "efficientnet-lite0"
    assert next(iter(report["farthest"]["A"])) == "trainA/blank.png"
    assert np.asarray(Image.open(out / "farthest_A.png")).shape[1] > 900
    assert "features" in report["told_apart"]
