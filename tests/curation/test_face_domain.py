"""Faces cut out of raw pictures, with a detector that others wrote."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from portraits import admiral, astronaut, local_binary_patterns
from skimage import data

from ugatit_jax.curation import face_domain
from ugatit_jax.data.__main__ import main
from ugatit_jax.faces.face import Face

SIZE = 96


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    (folder / "more").mkdir()
    both = np.concatenate([astronaut()[:300, 50:350], astronaut()[:300, 50:350, ::-1]], axis=1)
    small = Image.fromarray(astronaut()).resize((300, 300))
    pictures = {
        "one.png": Image.fromarray(astronaut()),
        "more/one.png": Image.fromarray(admiral()),
        "two.png": Image.fromarray(both),
        "small.png": small.crop((60, 0, 200, 140)),
        "edge.png": Image.fromarray(astronaut()[50:, 170:]),
        "grass.png": Image.fromarray(np.stack([data.grass()] * 3, -1)),
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    (folder / "broken.jpg").write_text("no picture")
    return folder


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The pictures that the detector was given."""
    seen: list[np.ndarray] = []
    detect = local_binary_patterns()

    def noting(picture: np.ndarray) -> list[Face]:
        seen.append(picture)
        return detect(picture)

    monkeypatch.setattr(face_domain, "open_detector", lambda kind: noting)
    return seen


def prepare(raw: Path, out: Path, *more: str) -> int:
    return main(["prepare", "--faces=photo", str(raw), str(out), f"--size={SIZE}", *more])


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "faces_A.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_faces_are_cut_out_alike_and_everything_else_is_told(
    raw: Path, tmp_path: Path, capsys: Any
) -> None:
    assert prepare(raw, tmp_path / "set") == 0
    told = {(row["source"], row["dropped"]) for row in rows(tmp_path / "set")}
    assert told == {
        ("broken.jpg", "cannot be read"),
        ("grass.png", "no face"),
        ("edge.png", "too near to the edge"),
        ("one.png", ""),
        ("more/one.png", ""),
        ("two.png", ""),
        ("small.png", ""),
    }
    cut = [row for row in rows(tmp_path / "set") if row["picture"]]
    files = sorted(x.relative_to(tmp_path / "set").as_posix() for x in tmp_path.glob("set/*A/*"))
    assert files == sorted(row["picture"] for row in cut) and len(files) == 5
    detect = local_binary_patterns()
    for row in cut:
        picture = np.asarray(Image.open(tmp_path / "set" / row["picture"]))
        assert picture.shape == (SIZE, SIZE, 3)
    # The same framing, whatever the size of the face was.
    whole = [np.asarray(Image.open(tmp_path / "set" / x).resize((300, 300))) for x in files]
    faces = [face for picture in whole for face in detect(picture)]
    assert len(faces) >= 4
    assert np.ptp([face.side for face in faces]) < 60
    assert np.abs([(face.x - 150, face.y - 150) for face in faces]).max() < 40
    assert "5 faces cut out" in capsys.readouterr().out


def test_what_is_too_small_is_refused(raw: Path, tmp_path: Path) -> None:
    main(["prepare", "--faces=photo", str(raw), str(tmp_path / "set"), "--size=512"])
    dropped = {row["source"]: row["dropped"] for row in rows(tmp_path / "set")}
    assert dropped["one.png"] == dropped["small.png"] == "too small"


def test_goes_on_where_it_was_stopped(
    raw: Path, tmp_path: Path, asked: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(raw, tmp_path / "whole")
    count = len(asked)
    write = face_domain.write_atomically

    def interrupt(path: Path, content: bytes) -> None:
        if path.suffix == ".png" and list((tmp_path / "set").glob("*A/*")):
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(face_domain, "write_atomically", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(raw, tmp_path / "set")
    begun = len(asked) - count
    with (tmp_path / "set" / "faces_A.csv").open("a") as file:
        file.write("trainA/torn")  # by a power cut
    prepare(raw, tmp_path / "set")
    assert len(asked) - count - begun < count
    log = [(tmp_path / x / "faces_A.csv").read_text() for x in ("whole", "set")]
    assert log[1] == log[0]
    pictures = [
        {path.relative_to(tmp_path / x): path.read_bytes() for path in (tmp_path / x).glob("*A/*")}
        for x in ("whole", "set")
    ]
    assert pictures[0] == pictures[1]


def test_the_split_follows_from_the_seed(raw: Path, tmp_path: Path) -> None:
    names = []
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepare(raw, tmp_path / out, f"--seed={seed}", "--test-share=0.5")
        names.append({x.name for x in (tmp_path / out).glob("testA/*")})
        # All faces of a picture go together: there are no twins on both sides.
        both = {
            row["picture"].split("/")[0] for row in rows(tmp_path / out) if "two" in row["source"]
        }
        assert len(both) == 1
    assert names[0] == names[1] != names[2]


def test_another_recipe_is_refused(raw: Path, tmp_path: Path, capsys: Any) -> None:
    prepare(raw, tmp_path / "set")
    with pytest.raises(SystemExit):
        prepare(raw, tmp_path / "set", "--seed=5")
    error = capsys.readouterr().err
    assert "was begun otherwise (seed)" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--test-share=0.9"], "--test-share 0.9: give 0 to 0.5"),
        (["--size=3"], "--size 3: give what is trained at"),
        (["--unverified"], "are not for faces"),
    ],
)
def test_mistakes_are_told(
    raw: Path, tmp_path: Path, more: list[str], words: str, capsys: Any
) -> None:
    with pytest.raises(SystemExit):
        prepare(raw, tmp_path / "set", *more)
    assert words in capsys.readouterr().err and not (tmp_path / "set").exists()
