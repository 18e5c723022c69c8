"""Faces aligned, translated and pasted back, on free photographs and with others' detector."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from portraits import admiral, astronaut, local_binary_patterns
from skimage import data

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import Domain
from ugatit_jax.faces.framing import Framing
from ugatit_jax.inference import align
from ugatit_jax.inference.align import Aligner
from ugatit_jax.translate import main

SIZE = 96


@pytest.fixture(autouse=True)
def detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that there always is, in the place of the packages' two: of drawings it finds none."""
    detect = local_binary_patterns()
    kinds = {"photo": detect, "anime": lambda picture: []}
    monkeypatch.setattr(align, "open_detector", kinds.__getitem__)


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces of one framing, all but one: 2 sides, and a little below the middle."""
    folder = tmp_path_factory.mktemp("trained_on")
    framing, detect = Framing(2.0, 0.0, 0.1), local_binary_patterns()
    for i, person in enumerate((astronaut(), admiral(), astronaut()[:, ::-1])):
        [face] = detect(np.ascontiguousarray(person))
        square = framing.around(face)
        box = (square.left, square.top, square.left + square.side, square.top + square.side)
        cut = Image.fromarray(np.ascontiguousarray(person)).crop([round(x) for x in box])
        cut.resize((192, 192), Image.Resampling.LANCZOS).save(folder / f"{i}.png")
    Image.fromarray(np.stack([data.grass()] * 3, -1)).save(folder / "grass.png")
    return folder


def domain(folder: Path) -> Domain:
    files = sorted(folder.iterdir())
    return Domain([file.name for file in files], files)


def test_the_framing_is_that_of_what_was_trained_on(trained_on: Path) -> None:
    aligner = Aligner.like(domain(trained_on), (192, 192))
    assert aligner.kind == "photo"
    assert aligner.framing.zoom == pytest.approx(2, rel=0.15)
    assert aligner.framing.down == pytest.approx(0.1, abs=0.1)
    assert aligner.framing.right == pytest.approx(0, abs=0.1)


def test_faces_alone_are_translated_and_fade_into_the_rest() -> None:
    """By a network that inverts."""
    picture = np.concatenate([astronaut()[:300, 50:350], admiral()[50:350, 100:400]], axis=1)
    framing = Framing(1.6)
    aligned = Aligner("photo", local_binary_patterns(), framing)(picture, 256)
    assert aligned is not None
    assert [tile.shape for tile in aligned.tiles] == [(256, 256, 3)] * 2
    result = aligned.join([255 - tile for tile in aligned.tiles])
    assert result.shape == picture.shape
    near = np.zeros(picture.shape[:2], bool)
    for face in local_binary_patterns()(picture):
        x, y, half = round(face.x), round(face.y), int(face.side * 0.8) + 1
        near[max(0, y - half) : y + half, max(0, x - half) : x + half] = True
        middle = np.s_[y - 20 : y + 20, x - 20 : x + 20]
        assert np.abs(result[middle].astype(int) - (255 - picture[middle].astype(int))).mean() < 12
    np.testing.assert_array_equal(result[~near], picture[~near])
    same = aligned.join(aligned.tiles)
    assert np.abs(same.astype(int) - picture).mean() < 1


def test_heat_maps_lie_over_the_faces() -> None:
    picture = astronaut()
    aligned = Aligner("photo", local_binary_patterns(), Framing(1.6))(picture, SIZE)
    assert aligned is not None
    heat = np.full((SIZE // 4, SIZE // 4), 3, np.float32)
    heat[0, 0] = 1
    joined = aligned.join_heatmaps([heat])
    [face] = local_binary_patterns()(picture)
    assert joined.shape == (128, 128) and joined[0, 0] == 1
    assert joined[int(face.y) // 4, int(face.x) // 4] == 3


def test_no_face_is_none() -> None:
    grass = np.stack([data.grass()] * 3, -1)
    assert Aligner("photo", local_binary_patterns(), Framing())(grass, SIZE) is None


def test_a_set_without_faces_is_told(tmp_path: Path, trained_on: Path) -> None:
    for i in range(4):
        Image.fromarray(np.stack([data.grass()[i:]] * 3, -1)).save(tmp_path / f"{i}.png")
    with pytest.raises(InputError, match=r"faces in 0 of 4 pictures .* too few .*--fit alone"):
        Aligner.like(domain(tmp_path), (96, 96))
    with pytest.raises(InputError, match="for networks of square pictures"):
        Aligner.like(domain(trained_on), (96, 128))


@pytest.mark.slow
def test_the_command_translates_faces_and_tells_where_there_are_none(
    trained_on: Path, tmp_path: Path, capsys: Any
) -> None:
    """With the network that comes along; it draws no faces, but it changes them."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut()).save(tmp_path / "photos" / "person.png")
    Image.fromarray(np.stack([data.grass()] * 3, -1)).save(tmp_path / "photos" / "grass.png")
    command = ["emoji", str(tmp_path / "photos"), f"--out={tmp_path / 'out'}", "--align=face"]
    with pytest.raises(SystemExit):
        main(command)
    assert "give pictures framed like these by --align-like=DIR" in capsys.readouterr().err
    command.append(f"--align-like={trained_on}")
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "grass.png: all of it is translated, by --fit=crop" in said and "person" not in said
    person = np.asarray(Image.open(tmp_path / "out" / "person.png")).astype(int)
    assert person.shape == (512, 512, 3)
    changed = np.abs(person - astronaut()).max(-1) > 0
    [face] = local_binary_patterns()(astronaut())
    rows, columns = np.nonzero(changed)
    assert (
        changed[int(face.y) - 20 : int(face.y) + 20, int(face.x) - 20 : int(face.x) + 20].mean()
        > 0.95
    )
    assert np.ptp(rows) < 2.4 * face.side and np.ptp(columns) < 2.4 * face.side
    grass = np.asarray(Image.open(tmp_path / "out" / "grass.png"))
    assert grass.shape == (64, 64, 3)
    record = [
        json.loads(x) for x in (tmp_path / "out" / "translated.jsonl").read_text().split("\n")[:2]
    ]
    assert all(line["fit"].startswith("crop, faces photo ") for line in record)
    assert main(command) == 0
    assert "0 pictures translated, 2 were there already" in capsys.readouterr().out
