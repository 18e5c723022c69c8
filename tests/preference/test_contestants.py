"""What people choose between: ready-made pictures, and what runs and exports make."""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.data.images import decode
from ugatit_jax.inference.translator import Translator
from ugatit_jax.prefer import main
from ugatit_jax.preference.contestants import find_contestants
from ugatit_jax.preference.study import Study, open_study, read_study

GOLDEN = Path(__file__).parents[1] / "golden" / "format_1"
NAMES = ["a.png", "b.png", "c.png", "x/d.png"]


def test_a_run_and_an_export_translate_the_inputs_once(material: Path, tmp_path: Path) -> None:
    paths, inputs = [GOLDEN / "run", GOLDEN / "export", material / "red"], material / "inputs"
    found = find_contestants(paths, inputs, tmp_path, "b2a", 3)
    assert found.inputs.names == NAMES[:3]
    assert list(found.translations) == ["run", "export", "red"]
    for name in ("run", "export"):
        assert found.translations[name].names == NAMES[:3]
        expected = Translator.load(GOLDEN / name)(found.inputs.load(2), "b2a")
        np.testing.assert_array_equal(found.translations[name].load(2), expected)
        assert found.translations[name].sources[2] == tmp_path / "translations" / name / "c.png"
    np.testing.assert_array_equal(found.translations["red"].load(1), decode(material / "red/b.png"))

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(written) == 6
    again = find_contestants(paths, inputs, tmp_path, "b2a", 3)
    assert again.checksums() == found.checksums()
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    with pytest.raises(ValueError, match=r"another study is in .*direction b2a, now a2b.*--out$"):
        find_contestants(paths, inputs, tmp_path, "a2b", 3)


def test_a_study_goes_on_with_the_same_pictures_alone(material: Path, tmp_path: Path) -> None:
    root = tmp_path / "material"
    shutil.copytree(material, root)
    paths = [root / name for name in ("red", "green")]

    def study(dataset: str = "x", limit: int | None = None) -> Study:
        found = find_contestants(paths, root / "inputs", tmp_path, "a2b", limit)
        return Study(dataset, "", found.inputs.names, *found.checksums())

    first = study()
    open_study(tmp_path, first)
    paths.reverse()  # in whatever order they are named
    open_study(tmp_path, study())
    assert read_study(tmp_path) == first

    for other, words in (
        (lambda: study("y"), "its dataset is 'x', now 'y'"),
        (lambda: study(limit=3), "it asks about 4 pictures, now about 3"),
    ):
        with pytest.raises(ValueError, match=f"is another study: {words}; say another --out"):
            open_study(tmp_path, other())
    Image.new("RGB", (24, 24)).save(root / "red" / "b.png")
    with pytest.raises(ValueError, match="the translations of red were others"):
        open_study(tmp_path, study())
    Image.new("RGB", (24, 24)).save(root / "inputs" / "b.png")
    with pytest.raises(ValueError, match="its inputs were other pictures"):
        open_study(tmp_path, study())
    paths.append(root / "blue")
    with pytest.raises(
        ValueError, match=r"its inputs were|its methods are green, red, now blue, g"
    ):
        open_study(tmp_path, study())


def error_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "no methods: give two or more"),
        ("red", "say --inputs"),
        ("red green --inputs inputs", "say --inputs"),
        ("red --inputs inputs --out out", "one method alone leaves nothing to choose"),
        ("red red --inputs inputs --out out", "red is given twice"),
        ("red green --inputs none --out out", "no folder none"),
        ("red green --inputs empty --out out", "no pictures in --inputs empty: it needs .bmp"),
        (
            "red green --inputs inputs --out out --limit 0",
            "--limit: '0' is no whole number of 1 or more",
        ),
        ("red none --inputs inputs --out out", "no translations in none: there is no such folder"),
        ("red empty --inputs inputs --out out", "no run and no translations in empty: it is empty"),
        ("red . --inputs inputs --out out", "lacks translations of 4 of 4 pictures of inputs"),
        (
            "red some --inputs inputs --out out",
            "some lacks translations of 3 of 4 pictures of inputs: a.png, c.png, x/d.png; it needs",
        ),
        ("red double --inputs inputs --out out", "a.jpg and a.png are of one name"),
        ("red broken --inputs inputs --out out", "cannot read broken/b.png"),
        ("red green --inputs inputs --out red/a.png", "cannot write into --out red/a.png"),
        ("red green --inputs gs://x --out out", "gs://x is no folder"),
        (
            "red green --inputs inputs --out out --port 70000",
            "--port: '70000' is no whole number from 0 to 65,535",
        ),
        ("red green --inputs inputs --out out --host 203.0.113.1", "cannot listen at 203.0.113.1"),
        ("red green --inputs inputs --out out --port x", "'x' is no whole number"),
        ("red --report out", "--report takes folders"),
        ("--report inputs", "no study in inputs: give a folder that was --out of one"),
        (" ".join(str(i) for i in range(10)) + " --inputs inputs --out out", "10 methods"),
    ],
)
def test_a_mistake_has_one_line(
    material: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    words: str,
) -> None:
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for folder, files in {"empty": [], "some": ["b.png"], "double": NAMES, "broken": NAMES}.items():
        (tmp_path / folder / "x").mkdir(parents=True)
        for name in files:
            shutil.copy(material / "red" / name, tmp_path / folder / name)
    Image.new("RGB", (8, 8)).save(tmp_path / "double" / "a.jpg")
    (tmp_path / "broken" / "b.png").write_bytes(b"no picture")
    (tmp_path / "empty" / "x").rmdir()
    argv = arguments.split()
    port = [] if "--port" in argv or "--report" in argv else ["--port=0"]
    assert words in error_of([*argv, *port], capsys)


def test_a_port_that_is_taken_is_told_before_anything_is_translated(
    material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        argv = [str(GOLDEN / "run"), str(material / "red"), f"--inputs={material / 'inputs'}"]
        said = error_of([*argv, f"--out={tmp_path / 'out'}", f"--port={port}"], capsys)
    assert said == f"error: port {port} is taken: say another --port, or 0 for any that is free\n"
    assert not (tmp_path / "out").exists()
