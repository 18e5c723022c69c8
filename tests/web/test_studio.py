"""What the page does with pictures, without the page."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.translator import Translator
from ugatit_jax.training.scalars import ScalarLines
from ugatit_jax.viewing.visualize import attention_overlay
from ugatit_jax.web.progress import read_progress
from ugatit_jax.web.studio import MOST, Studio, as_zip

RUN = Path(__file__).parents[1] / "golden" / "format_1" / "run"


def picture(seed: int, height: int = 20, width: int = 30) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(RUN)


def test_pictures_are_translated_and_what_is_none_is_named(studio: Studio) -> None:
    uploads = [("a.png", picture(0)), ("notes.png", b"no picture"), ("b.png", picture(1))]
    done, said = studio.translate(uploads, "a2b", fit="stretch", cycle=True)
    assert [one.name for one in done] == ["a.png", "b.png"]
    assert len(said) == 1 and said[0].startswith("cannot read notes.png: it is none of JPEG")
    translator = Translator.load(RUN)
    pixels = np.asarray(Image.open(io.BytesIO(picture(1))))
    expected = translator.details(pixels, "a2b", "stretch", cycle=True)
    np.testing.assert_array_equal(done[1].after, expected.picture)
    assert expected.cycle is not None and done[1].cycle is not None
    np.testing.assert_array_equal(done[1].cycle, expected.cycle)
    np.testing.assert_array_equal(done[1].before, pixels)


def test_attention_lies_over_what_is_looked_at(studio: Studio) -> None:
    (one,), _ = studio.translate([("a.png", picture(0, 64, 64))], "a2b", judged=True)
    assert [*one.maps] == [
        "generator: attention",
        "local discriminator",
        "global discriminator",
    ]
    for who, seen in (("generator: attention", one.before), ("local discriminator", one.after)):
        bare, none = one.overlay(who, 0)
        np.testing.assert_array_equal(bare, seen)
        np.testing.assert_array_equal(none, seen)
        _, whole = one.overlay(who, 1)
        np.testing.assert_array_equal(whole, attention_overlay(seen, one.maps[who][1]))
        half = one.overlay(who, 0.5)[1].astype(float)
        assert np.abs(half - (whole.astype(float) + seen) / 2).max() <= 0.5


def test_too_many_and_none_are_refused(studio: Studio) -> None:
    with pytest.raises(InputError, match="no pictures: drop or paste some"):
        studio.translate([], "a2b")
    with pytest.raises(InputError, match=f"{MOST + 1} pictures; the page takes {MOST} at once"):
        studio.translate([("a.png", b"")] * (MOST + 1), "a2b")


def test_a_zip_has_every_translation_once(studio: Studio) -> None:
    uploads = [("x/a.jpg", picture(0)), ("a.png", picture(1)), ("..", picture(2))]
    done, _ = studio.translate(uploads, "b2a")
    with zipfile.ZipFile(io.BytesIO(as_zip(done))) as archive:
        names = archive.namelist()
        assert len(set(names)) == 3 and not any("/" in name or name[0] == "." for name in names)
        first = np.asarray(Image.open(io.BytesIO(archive.read(names[0]))))
    np.testing.assert_array_equal(first, done[0].after)


def test_a_run_in_progress_is_read(tmp_path: Path) -> None:
    now = read_progress(tmp_path, {})
    assert (now.text, now.grid, now.kids, now.curves) == (
        "nothing saved, nothing drawn",
        None,
        None,
        [],
    )
    (tmp_path / "samples").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"train": {"steps": 4000}}))
    for step in (250, 500):
        Image.new("RGB", (4, 4), (step // 2, 0, 0)).save(tmp_path / f"samples/step_{step:07}.png")
    (tmp_path / "kid.png").write_bytes(b"half writ")
    now = read_progress(tmp_path, {})
    assert now.text == "nothing saved, drawn at step 500, of 4,000"
    assert now.grid is not None and now.grid[0, 0, 0] == 250 and now.kids is None


def test_the_terms_that_a_training_shows_become_curves(tmp_path: Path) -> None:
    lines = ScalarLines(tmp_path, silent=False, start=0)
    for step in (1, 2):
        lines.write(step, {"generator/cycle": 0.5 * step, "other": 1.0})
    lines.close()
    with (tmp_path / "scalars.jsonl").open("a") as file:
        file.write('{"step": 3, "gen')  # just being written
    found = read_progress(tmp_path, {"cycle": "generator/cycle", "cam": "generator/cam"}).curves
    assert found == [(1, 0.5, "cycle"), (2, 1.0, "cycle")]
