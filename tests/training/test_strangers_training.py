"""Training folders of all kinds of files, and pictures that vanish or change under a training."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from zoo import encode, picture, zoo

from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data.datasets import Domain, Stream
from ugatit_jax.data.input_pipeline import train_batches
from ugatit_jax.main import main
from ugatit_jax.training.start import prepare

pytestmark = [
    # As outside tests, where `images` says so.
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def resident() -> int:
    """The largest memory that this process has taken so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The zoo in trainA, and beside it what no training waits for or follows."""
    folder = tmp_path / "data"
    for split in ("trainA", "trainB"):
        (folder / split).mkdir(parents=True)
    for i in range(3):
        picture().save(folder / "trainB" / f"{i}.png")
    for name, animal in zoo().items():
        (folder / "trainA" / name).write_bytes(animal.content)
    os.mkfifo(folder / "trainA" / "pipe.png")
    (folder / "trainA" / "folder.png").mkdir()
    for name, target in {"zero.png": "/dev/zero", "circle.png": "circle.png", "here": "."}.items():
        (folder / "trainA" / name).symlink_to(target)
    return folder


def test_the_zoo(
    data: Path,
    tiny_flags: list[str],
    tiny_config: Callable[[], ConfigDict],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, memory = files_in(tmp_path), resident()
    workdir = tmp_path / "run"
    with pytest.raises(SystemExit, match="2"):
        main([*tiny_flags, f"--config.data.source={data}", f"--workdir={workdir}"])
    head, *lines = capsys.readouterr().err.splitlines()
    bad = [x for x, y in zoo().items() if y.size is None and not x.startswith(".")]
    assert head.startswith(f"error: {len(bad)} unreadable pictures: repair or remove them, or")
    for name in bad:
        said = f"cannot read {printable(data / 'trainA' / name)}: "
        assert sum(line.startswith(said) for line in lines) == 1, name
    assert len(lines) == len(bad)

    config = tiny_config()
    config.data.source, config.data.skip_bad = str(data), True
    with contextlib.ExitStack() as until_the_end:
        training = prepare(config, workdir, False, until_the_end)
    said = capsys.readouterr().out
    assert f"left out {len(bad)} unreadable pictures:" in said
    assert all(line.isprintable() for line in said.replace("\u200d", "").splitlines())
    good = {x for x, y in zoo().items() if y.size is not None and not x.startswith(".")}
    assert set(training.dataset.train_a.names) == good
    batches = train_batches({"a": Stream(training.dataset.train_a)}, config.data, 0, len(good))
    assert next(batches)["a"].shape == (len(good), 32, 32, 3)  # every one of them
    assert files_in(tmp_path) - before == {workdir / ".lock"}
    assert resident() - memory < 2**29


def test_pictures_that_are_gone_or_changed_when_their_turn_comes(
    tmp_path: Path, tiny_config: Callable[[], ConfigDict]
) -> None:
    files = [tmp_path / f"{i}.png" for i in range(4)]

    def stream(cache_gib: float) -> Iterator[np.ndarray]:
        for file in files:
            file.unlink(missing_ok=True)
            picture().save(file)
        data = tiny_config().data
        data.cache_gib = cache_gib
        domain = Domain([file.name for file in files], files)
        return (batch["a"] for batch in train_batches({"a": Stream(domain)}, data, 0, 4))

    def change(file: Path) -> None:
        picture(50, 70).save(tmp_path / "other.png")
        (tmp_path / "other.png").replace(file)

    for spoil, words in (
        (Path.unlink, "No such file"),
        (lambda file: file.write_bytes(encode(picture(), "PNG")[:60]), "cannot read"),
        (lambda file: (file.unlink(), os.mkfifo(file)), "no regular file"),
    ):
        batches = stream(0)
        next(batches)
        for file in files:
            spoil(file)
        with pytest.raises(InputError, match=rf"\d\.png: .*{words}|cannot read .*\d\.png"):
            for _ in range(100):  # some were read before their turn
                next(batches)
        batches = stream(1)
        first = next(batches)
        for file in files:
            spoil(file)
        assert next(batches).shape == first.shape  # it is in memory
    batches = stream(0)
    next(batches)
    for file in files:
        change(file)
    assert all(next(batches).shape == (4, 32, 32, 3) for _ in range(40))
