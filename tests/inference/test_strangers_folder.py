"""A folder of all kinds of files, through the whole command that translates."""

import dataclasses
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from zoo import picture, zoo

from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data.images import decode
from ugatit_jax.inference import files
from ugatit_jax.inference.files import write_page
from ugatit_jax.inference.jobs import Job
from ugatit_jax.inference.options import Options
from ugatit_jax.inference.record import Record
from ugatit_jax.inference.translator import Translator
from ugatit_jax.translate import main

EXPORT = Path(__file__).parents[1] / "golden" / "format_1" / "export"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as outside tests
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_zoo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    good, bad = [], []
    for i, (name, animal) in enumerate(zoo().items()):
        file = folder / f"{i:03}" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(animal.content)
        if not name.startswith("."):
            (bad if animal.size is None else good).append(file)
    before = {path for path in tmp_path.rglob("*")}
    assert main([str(EXPORT), str(folder), f"--out={out}", "--gallery"]) == 1
    said = capsys.readouterr()
    errors = said.err.splitlines()
    assert [x for x in errors if not x.startswith("error: cannot read ")] == []
    assert [sum(printable(file) + ": " in x for x in errors) for file in bad] == [1] * len(bad)
    assert len(errors) == len(bad)
    counts = f"{len(good)} pictures translated, 0 were there already, {len(bad)} could not"
    assert counts in said.out
    made = {(out / file.relative_to(folder)).with_suffix(".png") for file in good}
    made |= {out / "translated.jsonl", out / "index.html"}
    assert {x for x in tmp_path.rglob("*") if x.is_file()} - before == made
    with Image.open(out / good[0].relative_to(folder).with_suffix(".png")) as image:
        assert np.asarray(image).std() > 1
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt; is good" in page
    assert "<img src=x" not in page
    assert re.search(r'(alt|aria-label)="[^"]*&quot;quotes&quot;', page)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures."""
    (tmp_path / "in").mkdir()
    for i in range(5):
        picture(20 + i, 20).save(tmp_path / "in" / f"{i}.png")
    return tmp_path / "in"


def test_files_that_vanish_or_change_after_they_were_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Translator.load

    def and_meanwhile(*args: Any, **options: Any) -> Translator:
        (folder / "0.png").unlink()
        (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:50])
        (folder / "2.png").unlink()
        os.mkfifo(folder / "2.png")
        picture(50, 10).save(folder / "3.png")
        return load(*args, **options)

    monkeypatch.setattr(Translator, "load", and_meanwhile)
    out = folder.parent / "out"
    assert main([str(EXPORT), str(folder), f"--out={out}", "--gallery", "--fit=stretch"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in errors] == [
        f"cannot read {folder / name}" for name in ("0.png", "1.png", "2.png")
    ]
    shapes = {file.name: decode(file).shape for file in out.glob("*.png")}
    assert shapes == {"3.png": (50, 10, 3), "4.png": (24, 20, 3)}
    assert (out / "index.html").read_text(encoding="utf-8").count("<h3>") == 2


def test_a_source_that_is_no_more_what_it_was_is_not_in_the_gallery(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder.parent / "out"
    assert main([str(EXPORT), str(folder), f"--out={out}"]) == 0
    (folder / "2.png").write_bytes(b"x" * (folder / "2.png").stat().st_size)
    capsys.readouterr()
    assert main([str(EXPORT), str(folder), f"--out={out}", "--gallery"]) == 0
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"not in the gallery: cannot read {folder / '2.png'}: ")
    assert (out / "index.html").read_text(encoding="utf-8").count("<h3>") == 4
    with monkeypatch.context() as patch:  # of a folder with more than a page can hold
        patch.setattr(files, "SHOWN", 2)
        assert main([str(EXPORT), str(folder), f"--out={out}", "--gallery"]) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<h3>") == 2 and "The first 2 of 5." in page


def test_heat_maps_that_somebody_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "harm"),)

    jobs = []
    with_pickle = io.BytesIO()
    np.savez(with_pickle, generator=np.array([Harm()], object))
    texts = io.BytesIO()
    np.savez(texts, generator=np.array(["text"]))
    maps = io.BytesIO()
    np.savez(maps, generator=np.zeros((4, 4), np.float32))
    for i, content in enumerate((with_pickle, texts, io.BytesIO(b"noise"), io.BytesIO(), maps)):
        source = tmp_path / f"{i}.png"
        picture().save(source)
        outputs = {"translation": source, "heatmaps": tmp_path / f"{i}.npz"}
        outputs["heatmaps"].write_bytes(content.getvalue())
        jobs.append(Job(source, 1, Path(source.name), outputs))
    write_page(tmp_path / "index.html", "x", jobs, Options(attention=True))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4 and not (tmp_path / "harm").exists()
    for i, line in enumerate(said):
        assert line.startswith(f"not in the gallery: cannot read {tmp_path / f'{i}.npz'}: ")
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("<h3>") == 1


def test_records_that_somebody_made(tmp_path: Path) -> None:
    whole = {
        "picture": "x.png", "run": "run", "step": 3, "weights": "0", "direction": "a2b",
        "fit": "crop", "format": "png", "source_bytes": 9, "style": "", "shifts": 2,
    }  # fmt: skip
    lines = ["null", "[]", "3", "[" * 10**5, "9" * 5000, "{}"]
    for odd in (
        {"picture": 3}, {"picture": ""}, {"picture": None}, {"step": "3"}, {"step": True},
        {"run": 3}, {"format": "/../../x"}, {"format": ""}, {"format": None}, {"style": None},
        {"source_bytes": 1.5}, {"shifts": "2"}, {"more": 1}, {"weights": ["0"]},
    ):  # fmt: skip
        lines.append(json.dumps(whole | {"picture": "odd.png"} | odd))
    earlier = {name: x for name, x in whole.items() if name != "shifts"} | {"picture": "old.png"}
    lines += [json.dumps(whole), json.dumps(earlier)]
    (tmp_path / "translated.jsonl").write_text("\n".join(lines) + "\n")
    record = Record(tmp_path)
    assert record.of(Path("odd.png")) is None
    found = record.of(Path("x.png"))
    assert found is not None and {"picture": "x.png"} | dataclasses.asdict(found) == whole
    assert record.of(Path("old.png")) == dataclasses.replace(found, shifts=1)
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (tmp_path / "translated.jsonl").unlink()
        make(tmp_path / "translated.jsonl")
        with pytest.raises(InputError, match=r"translated\.jsonl: it is no regular file"):
            Record(tmp_path)
