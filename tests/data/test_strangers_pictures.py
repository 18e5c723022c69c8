"""Folders of pictures that strangers made: each is read, or refused in a line that names it."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo import Animal, encode, picture, zoo

from ugatit_jax.console.errors import InputError, TransientError, printable
from ugatit_jax.data import datasets, images, reading
from ugatit_jax.data.storage import file_sizes, list_files
from ugatit_jax.inference.jobs import plan
from ugatit_jax.inference.options import Options

# As outside tests, where `images` says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]


@pytest.fixture(scope="module")
def animals() -> dict[str, Animal]:
    return zoo()


@pytest.fixture(scope="module")
def folder(animals: dict[str, Animal], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("zoo")
    for name, animal in animals.items():
        (root / name).write_bytes(animal.content)
    return root


def resident() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_each_is_read_or_named_in_a_line(animals: dict[str, Animal], folder: Path) -> None:
    assert len(animals) > 120
    before, wrong = resident(), []
    for name, animal in animals.items():
        try:
            found = images.decode(folder / name)
            if found.dtype != np.uint8 or found.shape != (*(animal.size or (0, 0)), 3):
                wrong.append(f"{name!r} was read as {found.shape}")
        except images.BrokenPicture as error:
            said = str(error)
            if animal.size is not None:
                wrong.append(f"{name!r} was refused: {said}")
            if not said.startswith(f"cannot read {printable(folder / name)}: "):
                wrong.append(f"{name!r} was not named: {said}")
            if len(said) > 500 or any(not x.isprintable() for x in said.replace("\u200d", "")):
                wrong.append(f"{name!r} is not refused in one line: {said!r}")
    assert wrong == []
    assert resident() - before < 2**28


def test_training_folders_tell_all_of_them(animals: dict[str, Animal], folder: Path) -> None:
    listed = images.list_images(folder)
    shown = {name for name in animals if not name.startswith(".")}
    assert {file.name for file in listed} == shown
    bad = {name for name in shown if animals[name].size is None}
    domain = datasets.Domain([file.name for file in listed], listed)
    good = datasets.Domain(["whole.png"], [folder / "whole.png"])
    dataset = datasets.Dataset(domain, good, good.take([]), good.take([]))
    broken = datasets.find_broken(dataset)
    assert broken["train_a"].keys() == bad
    with pytest.raises(InputError) as error:
        datasets.leave_out(dataset, broken, skip_bad=False)
    _, *lines = str(error.value).split("\n")
    assert len(lines) == len(bad)
    kept = datasets.leave_out(dataset, broken, skip_bad=True)
    assert set(kept.train_a.names) == shown - bad


def test_results_of_all_lie_below_out(animals: dict[str, Animal], folder: Path) -> None:
    out = folder.parent / "out"
    shown = sorted(name for name in animals if not name.startswith("."))
    for name in shown:
        [job] = plan([folder / name], out, Options(attention=True, cycle=True, styles=1))
        for path in job.outputs.values():
            assert Path(os.path.normpath(path)).is_relative_to(out) and ".." not in path.parts


def test_a_wildcard_does_not_lead_out(tmp_path: Path) -> None:
    inside = tmp_path / "in" / "x"
    inside.mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(encode(picture(), "PNG"))
    with pytest.raises(InputError, match=r"has \.\. after a wildcard"):
        plan([tmp_path / "in" / "*" / ".." / ".." / "*.png"], tmp_path / "out", Options())


def test_what_is_no_file_is_passed_over_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(encode(picture(), "PNG"))
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, target in {
        "circle.png": "circle.png",
        "gone.png": "nowhere",
        "zero.png": "/dev/zero",
        "random.png": "/dev/random",
        "here": ".",
    }.items():
        (tmp_path / name).symlink_to(target)
    assert [file.name for file in images.list_images(tmp_path / "here")] == ["good.png"]
    for name in ("pipe.png", "zero.png", "folder.png", "circle.png", "gone.png"):
        began = time.monotonic()
        with pytest.raises(InputError, match=name) as error:
            images.decode(tmp_path / name)
        assert not isinstance(error.value, TransientError)
        assert time.monotonic() - began < 10
    for name in ("pipe.png", "circle.png", "x" * 300, "x/" * 3000):
        with pytest.raises(InputError, match="no picture or folder"):
            plan([tmp_path / name], tmp_path / "out", Options())


def test_folders_that_link_to_each_other_are_searched_once(tmp_path: Path) -> None:
    """Paths without circles through ten folders are millions."""
    folders = [tmp_path / f"{i}" for i in range(10)]
    for folder in folders:
        folder.mkdir()
        (folder / "a.png").touch()
    for folder in folders:
        for other in folders:
            (folder / f"to {other.name}").symlink_to(other)
    found = list_files(tmp_path)
    assert sorted(map(str, found)) == [f"{i}/a.png" for i in range(10)]


def test_very_deep_folders(tmp_path: Path) -> None:
    here, depth = os.getcwd(), 1200
    try:
        os.chdir(tmp_path)
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("lost.png").touch()
        os.chdir(tmp_path)
        (tmp_path / "found.png").touch()
        assert {x.name for x in list_files(tmp_path)} == {"found.png", "lost.png"}
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_file_without_permission_is_named() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "private.png").write_bytes(encode(picture(), "PNG"))
        (folder / "private.png").chmod(0)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)  # root may read everything
        try:
            with pytest.raises(InputError, match=r"private\.png: Permission denied"):
                images.decode(folder / "private.png")
        finally:
            os.seteuid(was)


def test_a_file_that_cannot_be_read_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("this system has no file that always fails to be read")
    monkeypatch.setattr(reading, "PAUSES", (0, 0))
    (tmp_path / "bad disk.png").symlink_to("/proc/self/mem")
    with pytest.raises(TransientError, match=r"bad disk\.png: Input/output error, 3 times"):
        images.decode(tmp_path / "bad disk.png")


def test_files_that_vanish_and_change_meanwhile(tmp_path: Path) -> None:
    file, stop = tmp_path / "x.png", threading.Event()
    contents = [encode(picture(), "PNG"), b"no picture", encode(Image.new("L", (9, 9)), "PNG")]

    def change() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            if i % 4 == 3:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(contents[i % 4])

    thread = threading.Thread(target=change)
    thread.start()
    outcomes = set()
    try:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            for what in (
                lambda: images.decode(file),
                lambda: file_sizes([file]),
                lambda: list_files(tmp_path),
                lambda: plan([file], tmp_path / "out", Options()),
            ):
                try:
                    what()
                    outcomes.add("read")
                except InputError as error:
                    assert "x.png" in str(error) and "\n" not in str(error)
                    outcomes.add("refused")
    finally:
        stop.set()
        thread.join()
    assert outcomes == {"read", "refused"}


def test_a_file_that_is_gone_has_no_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: No such file"):
        file_sizes([tmp_path / "gone.png"])


def test_what_one_value_of_deep_grey_says_is_transparent_is_so() -> None:
    grey = np.array([[0, 300, 65535]], np.uint16)
    data = encode(Image.fromarray(grey), "PNG", transparency=300)
    found, alpha = images.decode_with_alpha(data)
    assert alpha is not None and alpha.tolist() == [[255, 0, 255]]
    assert found[0, :, 0].tolist() == [0, 255, 255]


def test_large_pictures_are_decoded_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGE", 100)
    data, at_once, most = encode(picture(), "PNG"), 0, 0
    convert, lock = images._convert, threading.Lock()

    def count(image: Image.Image) -> object:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        found = convert(image)
        with lock:
            at_once -= 1
        return found

    monkeypatch.setattr(images, "_convert", count)
    threads = [threading.Thread(target=images.decode, args=(data,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_nothing_but_the_line_is_said_of_a_picture(tmp_path: Path) -> None:
    """Pillow warns of what it reads all the same, and of large ones, on stderr by itself."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\x7f\x12\x01garbage"
    (tmp_path / "exif.jpg").write_bytes(encode(picture(), "JPEG", exif=exif))
    program = (
        "import sys; from pathlib import Path; from ugatit_jax.data import images; from PIL import "
        "Image; Image.MAX_IMAGE_PIXELS = 300; images.decode(Path(sys.argv[1]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "exif.jpg")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout, result.stderr) == ("", "")


def test_a_picture_is_not_broken_for_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a training that leaves broken ones out would go on without it."""
    picture().save(tmp_path / "x.png")
    monkeypatch.setattr(images, "_upright", lambda image: bytearray(2**62))
    with pytest.raises(TransientError, match=r"x\.png: there is no memory for it now"):
        images.decode(tmp_path / "x.png")
