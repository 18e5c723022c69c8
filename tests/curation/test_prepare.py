"""Data sets out of downloads, archives and folders, of which the pictures are counted."""

import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_pictures import made_picture
from mirrors import Mirror, serving

from ugatit_jax.console.errors import InputError
from ugatit_jax.curation import archive as archives
from ugatit_jax.curation import download as downloads
from ugatit_jax.curation.archive import extract_pictures
from ugatit_jax.curation.catalogue import SETS, Archive, PublicSet, Side
from ugatit_jax.curation.prepare import prepare
from ugatit_jax.data.__main__ import main


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    made_picture(seed, 16).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def layout(root: str, **counts: int) -> dict[str, bytes]:
    seeds = iter(range(1000))
    return {
        f"{root}{split}/{i}.png": png(next(seeds))
        for split, count in counts.items()
        for i in range(count)
    }


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the sets, with a few pictures: one with a known split, and one without."""
    nowhere = Archive("small.zip", ("http://127.0.0.1:9/small.zip",))
    known = PublicSet(Side("photographs", 8, 2), Side("paintings", 5, 1), nowhere, "us")
    unknown = PublicSet(Side("cats", 7, 2, False), Side("dogs", 9, 3, False), nowhere, "us")
    monkeypatch.setitem(SETS, "photo2vangogh", known)
    monkeypatch.setitem(SETS, "cat2dog", unknown)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(downloads, "PAUSES", (0.01,))
    with serving() as mirror:
        yield mirror


def test_a_set_is_downloaded_turned_round_and_counted(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """As vangogh2photo is, whose A is our B; the connection breaks off in the middle."""
    files = layout("vangogh2photo/", trainA=4, trainB=6, testA=1, testB=2) | {"notes.txt": b"x"}
    mirror.files["set.zip"] = zipped(tmp_path / "set.zip", files).read_bytes()
    mirror.answers["set.zip"] = ["break 1000"]
    small = SETS["photo2vangogh"]
    there = Archive("set.zip", (mirror.url("none.zip"), mirror.url("set.zip")))
    monkeypatch.setitem(SETS, "photo2vangogh", PublicSet(small.a, small.b, there, "us"))
    folder = tmp_path / "data" / "photo2vangogh"
    status = main(["prepare", "photo2vangogh", str(folder), f"--cache-dir={tmp_path / 'cache'}"])
    assert status == 0
    assert "6 trainA, 2 testA, 4 trainB, 1 testB" in capsys.readouterr().out
    assert (folder / "trainA" / "0.png").read_bytes() == files["vangogh2photo/trainB/0.png"]
    assert len([*folder.rglob("*.png")]) == 13
    about = json.loads((folder / "about.json").read_text())
    assert about["pictures"] == {"trainA": 6, "testA": 2, "trainB": 4, "testB": 1}
    assert [x.name for x in folder.parent.iterdir()] == ["photo2vangogh"]


def test_a_split_that_nobody_knows_is_left_as_it_is(tmp_path: Path) -> None:
    """Only the sum is known of DRIT's."""
    archive = zipped(tmp_path / "x.zip", layout("a/b/", trainA=6, testA=1, trainB=5, testB=4))
    made = prepare("cat2dog", tmp_path / "out", archive)
    assert made == {"trainA": 6, "testA": 1, "trainB": 5, "testB": 4}


def test_two_folders_are_split_by_names_alone(tmp_path: Path) -> None:
    for name, content in layout("", dogs=9, cats=7).items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    made = prepare("cat2dog", tmp_path / "out", tmp_path / "mine")
    assert made == {"trainA": 5, "testA": 2, "trainB": 6, "testB": 3}
    assert os.path.samefile(next((tmp_path / "out/testA").iterdir()).resolve(), _cat(tmp_path))
    again = prepare("cat2dog", tmp_path / "again", tmp_path / "mine")
    names = [sorted(x.name for x in (tmp_path / y / "testA").iterdir()) for y in ("out", "again")]
    assert names[0] == names[1] and again == made
    # One more picture moves one at most.
    (tmp_path / "mine" / "cats" / "new.png").write_bytes(png(5000))
    prepare("cat2dog", tmp_path / "more", tmp_path / "mine", unverified=True)
    more = {x.name for x in (tmp_path / "more" / "testA").iterdir()}
    assert len(more - set(names[0])) <= 1


def _cat(tmp_path: Path) -> Path:
    """The picture of the user's that the first test picture is a link to."""
    first = next((tmp_path / "out" / "testA").iterdir())
    return tmp_path / "mine" / "cats" / first.name


def test_other_numbers_are_refused_unless_wanted(tmp_path: Path, capsys: Any) -> None:
    archive = zipped(tmp_path / "x.zip", layout("", trainA=6, testA=2, trainB=4, testB=2))
    arguments = ["prepare", "photo2vangogh", str(tmp_path / "out"), f"--from={archive}"]
    with pytest.raises(SystemExit):
        main(arguments)
    error = capsys.readouterr().err
    assert "6 + 2 and 4 + 2 where there should be 6 + 2 photographs and 4 + 1 paintings" in error
    assert error.count("\n") == 1 and [x.name for x in tmp_path.iterdir()] == ["x.zip"]
    assert main([*arguments, "--unverified"]) == 0
    assert len([*(tmp_path / "out" / "testB").iterdir()]) == 2


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(InputError, match="no data set 'horse2zbra': choose one of selfie2anime"):
        prepare("horse2zbra", tmp_path / "out")
    with pytest.raises(InputError, match="full is there and not empty"):
        prepare("cat2dog", tmp_path / "full")
    with pytest.raises(
        InputError, match=r"there is no .*none: --from takes a folder or an archive"
    ):
        prepare("cat2dog", tmp_path / "out", tmp_path / "none")
    with pytest.raises(InputError, match="no two domains in"):
        prepare("cat2dog", tmp_path / "out", tmp_path / "full")
    with pytest.raises(InputError, match="neither a ZIP nor a tar"):
        prepare("cat2dog", tmp_path / "out", tmp_path / "full" / "x")


@pytest.mark.parametrize("name", ["../out.png", "/tmp/out.png", "a/../../out.png", "..\\out.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_is_written_outside(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "in" / "x.archive"
    path.parent.mkdir()
    if kind == "zip":
        zipped(path, {"good.png": png(0), name: png(1)})
    else:
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(png(1))
            tar.addfile(member, io.BytesIO(png(1)))
    with pytest.raises(InputError, match="leads out of itself"):
        extract_pictures(path, tmp_path / "in" / "folder")
    assert not [*tmp_path.glob("*.png"), *tmp_path.glob("in/*.png")]


def test_links_and_what_is_hidden_stay_in_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("good.png", ".hidden.png", "__MACOSX/._good.png", "read.me"):
            member = tarfile.TarInfo(name)
            member.size = len(png(0))
            tar.addfile(member, io.BytesIO(png(0)))
        for kind, name in ((tarfile.SYMTYPE, "link.png"), (tarfile.LNKTYPE, "hard.png")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        pipe = tarfile.TarInfo("pipe.png")
        pipe.type = tarfile.FIFOTYPE
        tar.addfile(pipe)
    assert extract_pictures(path, tmp_path / "out") == 1
    assert [x.name for x in (tmp_path / "out").rglob("*")] == ["good.png"]
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert extract_pictures(tmp_path / "x.zip", tmp_path / "out2") == 0


def test_bombs_do_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST", 2**20)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**24))
    with pytest.raises(InputError, match=r"holds more than pictures would, in a\.png"):
        extract_pictures(path, tmp_path / "out")
    assert (tmp_path / "out" / "a.png").stat().st_size <= 2**20
    monkeypatch.setattr(archives, "LARGEST", 2**28)
    monkeypatch.setattr(archives, "MOST_BYTES", 3000)
    zipped(path, {f"{i}.png": bytes(1000) for i in range(4)})
    with pytest.raises(InputError, match="holds more than pictures would"):
        extract_pictures(path, tmp_path / "out3")
    monkeypatch.setattr(archives, "MOST_FILES", 3)
    with pytest.raises(InputError, match="more than"):
        extract_pictures(path, tmp_path / "out4")


def test_damaged_archives_are_told(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", layout("", trainA=3, trainB=3))
    data = bytearray(path.read_bytes())
    data[60:120] = bytes(60)  # of the first picture
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged or encrypted"):
        extract_pictures(path, tmp_path / "out")
