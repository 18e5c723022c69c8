"""Pictures of all kinds, through the whole command that scores: of a run's set, and of folders."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zoo import Animal, zoo

from ugatit_jax.config.records import load_config, save_config
from ugatit_jax.console.errors import printable
from ugatit_jax.data import emoji
from ugatit_jax.evaluate import main

RUN = Path(__file__).parents[1] / "golden" / "format_1" / "run"
FEATURES = "--features=efficientnet-lite0"
# As outside tests, where `images` says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]


@pytest.fixture(scope="module")
def animals() -> dict[str, Animal]:
    return {name: animal for name, animal in zoo().items() if not name.startswith(".")}


def fill(folder: Path, animals: dict[str, Animal]) -> Path:
    folder.mkdir(parents=True)
    for name, animal in animals.items():
        (folder / name).write_bytes(animal.content)
    return folder


def noise(folder: Path, count: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def data(animals: dict[str, Animal], tmp_path: Path) -> Path:
    """A set whose pictures of testA are of all kinds, and so are their names."""
    for split in ("trainA", "trainB", "testB"):
        noise(tmp_path / "data" / split, 2)
    fill(tmp_path / "data" / "testA", animals)
    return tmp_path / "data"


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        lambda data: [str(RUN), f"--data={data}"],
        lambda data: [str(data / "testB"), str(data / "testA"), str(data / "testA")],
    ],
    ids=["run", "folders"],
)
def test_all_bad_pictures_are_named_once_and_nothing_is_done(
    arguments: Callable[[Path], list[str]],
    animals: dict[str, Animal],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files_in(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main([*arguments(data), FEATURES, f"--out={tmp_path / 'out'}"])
    head, *lines = capsys.readouterr().err.splitlines()
    bad = [data / "testA" / name for name, animal in animals.items() if animal.size is None]
    assert head == f"error: {len(bad)} unreadable pictures: repair or remove them"
    assert [sum(f"cannot read {printable(x)}: " in line for line in lines) for x in bad] == [
        1
    ] * len(bad)
    assert len(lines) == len(bad)
    assert files_in(tmp_path) == before


def test_a_run_that_left_bad_ones_out_does_so_again_and_counts_them(
    animals: dict[str, Animal], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each name one good and one bad picture; the good are scored, into files below --out."""
    odd = {name: x for name, x in animals.items() if name.endswith(("is good.png", "is bad.png"))}
    shutil.rmtree(data / "testA")
    fill(data / "testA", odd)
    run, out = shutil.copytree(RUN, tmp_path / "run"), tmp_path / "out"
    config = load_config(run / "config.json")
    config.data.skip_bad, config.data.source = True, str(data)
    save_config(config, run / "config.json")
    before = files_in(tmp_path)
    assert main([str(run), FEATURES, f"--out={out}"]) == 0
    said = capsys.readouterr().out
    good = [name for name, animal in odd.items() if animal.size]
    bad = [name for name in odd if name not in good]
    counts = f"test A {len(good)} of {len(odd)} found, of which {len(bad)} cannot be read, test B"
    assert counts in said and f"left out {len(bad)} unreadable pictures:" in said
    assert all(line.isprintable() for line in said.replace("\u200d", "").splitlines())
    made = {out / "a2b" / name for name in good} | {out / "b2a" / f"{i}.png" for i in range(2)}
    made |= {out / name for name in ("report.json", "report.md", "index.html")}
    assert files_in(tmp_path) - before == made
    report = json.loads((out / "report.json").read_text())
    named = [x["name"] for x in report["directions"]["a2b"]["per_picture"]]
    assert sorted(named) == sorted(good)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt; is good" in page
    assert "<img src=x" not in page


def test_a_run_does_not_say_where_data_sets_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A strangers' config may name any folder: one that is not there is not made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rendered = tmp_path / "cache" / "ugatit_jax" / f"emoji-128px-v{emoji._RECIPE}"
    for split in ("trainA", "trainB", "testA", "testB"):
        (rendered / split).mkdir(parents=True)
        (rendered / split / "x.png").write_bytes(b"no picture, so that it ends here")
    run = shutil.copytree(RUN, tmp_path / "run")
    config = load_config(run / "config.json")
    assert config.data.source == "emoji"
    config.data.cache_dir = str(tmp_path / "elsewhere")
    save_config(config, run / "config.json")
    with pytest.raises(SystemExit, match="2"):
        main([str(run), FEATURES])
    assert f"cannot read {rendered}/testA/x.png: " in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()
