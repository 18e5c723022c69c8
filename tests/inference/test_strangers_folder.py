"""A folder of all kinds of files, through the whole command that translates."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo import zoo

from ugatit_jax.console.errors import printable
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
