"""The command line that translates, on real files."""

import dataclasses
import functools
import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from mounted import small_disk
from PIL import Image

from ugatit_jax.config.records import save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images, reading
from ugatit_jax.devices.sharding import create_on, make_mesh
from ugatit_jax.inference.attention_maps import DiscriminatorAttention
from ugatit_jax.inference.jobs import plan
from ugatit_jax.inference.options import Options
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import create_state
from ugatit_jax.runs.checkpoints import open_checkpoints, save
from ugatit_jax.translate import main

SIZE = (32, 32)
RECORD = "translated.jsonl"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(20, 30, 3, seed=seed)).save(path)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run_dir(
    tiny_config: Callable[[], ConfigDict], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run directory with a checkpoint of random networks, that change what they translate."""
    config = tiny_config()
    folder = tmp_path_factory.mktemp("run")
    method = build_method(config)
    create = functools.partial(create_state, method, config.train, config.seed)
    state = create_on(make_mesh(), create)
    rng = np.random.default_rng(0)
    generators = jax.tree.map(
        lambda x: rng.normal(scale=0.2, size=x.shape).astype(np.float32), state.params["generators"]
    )
    save_config(config, folder / "config.json")
    with open_checkpoints(folder, config.checkpoint) as checkpoints:
        averaged = {"generators": generators}
        state = dataclasses.replace(
            state, step=jnp.asarray(7), params=state.params | averaged, ema=averaged
        )
        save(checkpoints, method, state)
    return folder


@pytest.fixture(scope="module")
def translator(run_dir: Path) -> Translator:
    return Translator.load(run_dir)


def outputs_of(inputs: list[Path], out: Path, options: Options | None = None) -> dict[Path, Path]:
    jobs = plan(inputs, out, options or Options())
    return {job.source: job.outputs["translation"] for job in jobs}


def test_outputs_keep_the_folders_below_each_input(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    one = write(folder / "one.jpg")
    deep = write(folder / "x" / "y" / "two.webp")
    alone = write(tmp_path / "three.v2.bmp")
    assert outputs_of([folder, alone], out) == {
        one: out / "one.png",
        deep: out / "x" / "y" / "two.png",
        alone: out / "three.v2.png",
    }


def test_globs_keep_the_folders_below_what_is_fixed(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    one, two, deep = (write(folder / name) for name in ("one.jpg", "two.png", "x/y/deep.jpg"))
    (folder / "x" / "notes.txt").write_text("no picture")
    for pattern, found in (
        ("*.jpg", [one]),
        ("*", [one, two]),
        ("**/*.jpg", [one, deep]),
        ("**", [one, two, deep]),
        ("[ot]*", [one, two]),
        ("*/?/*", [deep]),
    ):
        expected = {x: (out / x.relative_to(folder)).with_suffix(".png") for x in found}
        assert outputs_of([folder / pattern], out) == expected
    (folder / "x" / ".nomedia").touch()
    assert outputs_of([folder / "**" / "*.jpg"], out).keys() == {one}
    assert outputs_of([folder / "x" / "**" / "*.jpg"], out).keys() == {deep}
    odd = write(tmp_path / "odd [1].jpg")  # a name before it is a pattern
    assert outputs_of([odd], out) == {odd: out / "odd [1].png"}


def test_a_picture_that_two_inputs_hold_is_translated_once(tmp_path: Path) -> None:
    one = write(tmp_path / "in" / "one.jpg")
    assert len(plan([one, tmp_path / "in", tmp_path / "in" / "*.jpg"], Path("out"), Options())) == 1


def test_everything_that_is_asked_for_has_a_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jpg")
    [job] = plan([one], Path("out"), Options(format="webp", attention=True, cycle=True))
    assert {kind: path.as_posix() for kind, path in job.outputs.items()} == {
        "translation": "out/one.webp",
        "attention": "out/attention/one.png",
        "heatmaps": "out/attention/one.npz",
        "cycle": "out/cycle/one.webp",
    }


def test_plans_that_would_lose_a_picture_are_refused(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    jpg, png = write(folder / "cat.jpg"), write(folder / "cat.png")
    bicycles = write(tmp_path / "bicycles" / "Cycle" / "red.jpg").parents[1]
    (tmp_path / "empty").mkdir()
    options = Options(cycle=True)
    for inputs, target, message in (
        ([folder], out, r"cat\.jpg and .*cat\.png would both become"),
        ([bicycles], out, r"red\.jpg would become a translation in cycle/, .*: rename the folder"),
        ([folder], folder, "inside the input folder"),
        ([folder], folder / "anime", "inside the input folder"),
        ([folder / "**" / "*.jpg"], folder / "anime", "inside the input folder"),
        ([png], folder, r"cat\.png would be overwritten"),
        ([png, jpg], folder, r"cat\.png would be overwritten"),
        ([tmp_path / "empty"], out, "no pictures in"),
        ([tmp_path / "nothing.jpg"], out, r"no picture or folder .*nothing\.jpg"),
        ([folder / "*.gif"], out, r"no pictures match .*\*\.gif"),
    ):
        with pytest.raises(InputError, match=message):
            plan(inputs, target, options)
    assert outputs_of([folder / "*.jpg"], folder / "anime")[jpg] == folder / "anime" / "cat.png"
    assert len(outputs_of([bicycles / "Cycle"], out)) == 1


def test_folders_are_translated_and_bad_pictures_reported(
    translator: Translator, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    names = [f"{i}.png" for i in range(9)] + ["x/deep.png"]
    for i, name in enumerate(names):
        write(folder / name, seed=i)
    bad = {"0.png", "3.png", "x/deep.png"}
    for name in bad:
        (folder / name).write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    command = [str(run_dir), str(folder), "--out", str(out), "--direction", "b2a", "--step", "7"]

    assert main(command) == 1
    said = capsys.readouterr()
    errors = said.err.splitlines()
    assert len(errors) == 3
    assert all(f"{folder / name}: it is none of" in said.err for name in bad)
    assert "7 pictures translated, 0 were there already, 3 could not" in said.out
    assert "of 7 the middle was taken, 32 × 32 px in the end, as in training: --fit=pad" in said.out
    assert files_in(out) == {RECORD, *names} - bad
    for i, name in enumerate(names):
        if name not in bad:
            expected = translator(noise(20, 30, 3, seed=i), "b2a")
            assert expected.std() > 10
            np.testing.assert_allclose(read(out / name), expected, atol=1)


def test_what_could_not_be_read_for_now_has_a_status_of_its_own(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(2):
        write(tmp_path / "in" / f"{i}.png", seed=i)

    def read_bytes(path: Path) -> bytes:
        if path.name == "1.png":
            raise TimeoutError("timed out")
        return path.read_bytes()

    monkeypatch.setattr(reading, "read_bytes", read_bytes)
    monkeypatch.setattr(reading, "PAUSES", ())
    command = [str(run_dir), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(command) == 75
    assert files_in(tmp_path / "out") == {RECORD, "0.png"}
    (tmp_path / "in" / "2.png").write_bytes(b"no picture")
    assert main(command) == 1  # this one will be none later, either
    monkeypatch.undo()
    assert main(command) == 1
    assert files_in(tmp_path / "out") == {RECORD, "0.png", "1.png"}


def test_what_is_done_is_skipped_without_being_read(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "cat.jpg"), tmp_path / "out"
    command = [str(run_dir), str(source), "--out", str(out)]
    assert main(command) == 0
    first = (out / "cat.png").read_bytes()
    (out / "cat.png").write_bytes(b"mine")
    before = source.read_bytes()
    source.write_bytes(b"no picture".ljust(len(before)))
    assert main(command) == 0
    assert "0 pictures translated, 1 was there already" in capsys.readouterr().out
    assert (out / "cat.png").read_bytes() == b"mine"
    source.write_bytes(before)
    assert main([*command, "--overwrite"]) == 0
    assert (out / "cat.png").read_bytes() == first
    (out / "cat.png").write_bytes(b"mine")
    assert main([*command, "--cycle"]) == 0  # there is one, but not all that is asked for
    assert (out / "cat.png").read_bytes() == first


def refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(command)
    [error] = capsys.readouterr().err.splitlines()
    assert error.endswith("say another --out, or --overwrite")
    return error


def test_what_was_made_otherwise_is_not_taken_for_done(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for i in range(2):
        write(folder / f"{i}.png", seed=i)
    command = [str(run_dir), str(folder), "--out", str(out)]
    assert main(command) == 0
    lines = [json.loads(line) for line in (out / RECORD).read_text().splitlines()]
    assert sorted(line["picture"] for line in lines) == ["0.png", "1.png"]
    assert (lines[0]["run"], lines[0]["step"]) == (run_dir.name, 7)
    before = {name: (out / name).read_bytes() for name in ("0.png", "1.png")}

    error = refused([*command, "--direction=b2a"], capsys)
    assert "there is another picture and 1 more" in error and "direction a2b, now b2a" in error
    error = refused([*command, "--fit=pad", "--format=webp"], capsys)
    assert f"{out / '0.png'}: fit crop, now pad; format png, now webp: " in error
    assert f"{out / '0.png'}: shifts 1, now 2" in refused([*command, "--shifts=2"], capsys)
    size = (folder / "0.png").stat().st_size
    Image.fromarray(noise(50, 60, 3)).save(folder / "0.png")
    now = (folder / "0.png").stat().st_size
    assert f"0.png: source bytes {size}, now {now}: " in refused(command, capsys)
    write(folder / "0.png")
    assert {name: (out / name).read_bytes() for name in before} == before

    assert main([*command, "--cycle"]) == 0  # more of the same
    assert main([*command, "--format=webp", "--overwrite"]) == 0
    made = {"0.webp", "1.webp", "cycle/.nomedia"}  # nothing of what was made otherwise is left
    assert files_in(out) == {RECORD, *made}
    assert main([*command, "--format=webp"]) == 0
    assert "0 pictures translated, 2 were there already" in capsys.readouterr().out


def test_other_weights_and_pictures_of_others_are_told(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "cat.jpg"), tmp_path / "out"
    moved = shutil.copytree(run_dir, tmp_path / "moved")
    command = [str(source), "--out", str(out)]
    assert main([str(run_dir), *command]) == 0
    assert main([str(moved), *command]) == 0  # the same weights
    record = (out / RECORD).read_text()
    line = json.loads(record)
    other = line | {"run": "other", "step": 1200, "weights": "0" * 16}
    (out / RECORD).write_text(f"{record}no line\n{json.dumps(other)}\n{record[:20]}")
    error = refused([str(run_dir), *command], capsys)
    now = f"{run_dir.name}, step 7, weights {line['weights']}"
    assert f"cat.png: other, step 1,200, weights {'0' * 16}, now {now}: " in error
    assert main([str(run_dir), *command, "--overwrite"]) == 0  # after the line that is torn
    assert main([str(run_dir), *command]) == 0
    (out / RECORD).unlink()
    assert "cat.png: translated.jsonl does not know it: " in refused(
        [str(run_dir), *command], capsys
    )
    (out / "cat.png").unlink()
    assert main([str(run_dir), *command]) == 0


def test_linked_folders_are_searched_but_not_in_circles(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    one, two = write(folder / "one.jpg"), write(tmp_path / "elsewhere" / "two.jpg")
    (folder / "linked").symlink_to(two.parent)
    (two.parent / "back").symlink_to(folder)
    (two.parent / "here").symlink_to(".")
    expected = {one, folder / "linked" / "two.jpg"}
    assert outputs_of([folder], out).keys() == expected
    assert outputs_of([folder / "**" / "*.jpg"], out).keys() == expected


def test_names_that_are_too_long_or_no_text_are_no_matter(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    long, longest = "x" * 247, "y" * 251  # 255 bytes are the most, with .jpg
    odd = os.fsdecode(b"caf\xe9")
    for name in (long, longest, odd, "z"):
        try:
            write(folder / f"{name}.jpg")
        except OSError:
            pytest.skip("this file system does not take such names")
    command = [str(run_dir), str(folder), "--out", str(out), "--format=webp", "--gallery"]
    for done in (3, 0):
        assert main(command) == 1
        said = capsys.readouterr()
        [error] = said.err.splitlines()
        assert f"{longest}.webp: its name is too long; rename the picture" in error
        assert f"{done} pictures translated, {3 - done} were there already, 1 could not" in said.out
    assert files_in(out) == {RECORD, "index.html", *(f"{x}.webp" for x in (long, odd, "z"))}
    assert "caf\\udce9.jpg" in (out / "index.html").read_text(encoding="utf-8")


def test_attention_cycle_and_gallery(
    translator: Translator, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    pictures = {"a <1>": noise(20, 30, 3), "x/b": noise(50, 40, 3, seed=1)}
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{name}.png")
    command = [str(run_dir), str(folder), "--out", str(out), "--fit", "stretch"]
    assert main([*command, "--attention", "--cycle", "--gallery"]) == 0

    kinds = ("{}.png", "attention/{}.png", "attention/{}.npz", "cycle/{}.png")
    made = {kind.format(name) for name in pictures for kind in kinds}
    marks = {"attention/.nomedia", "cycle/.nomedia"}
    assert files_in(out) == {"index.html", RECORD, *made, *marks}
    assert images.list_images(out) == [out / f"{name}.png" for name in pictures]
    judge = DiscriminatorAttention.load(run_dir, "b")
    for name, picture in pictures.items():
        [expected] = translator.translate([translator.prepare(picture, "stretch")], cycle=True)
        np.testing.assert_allclose(read(out / f"{name}.png"), expected.picture, atol=2)
        assert expected.cycle is not None
        np.testing.assert_allclose(read(out / "cycle" / f"{name}.png"), expected.cycle, atol=2)
        with np.load(out / "attention" / f"{name}.npz") as heatmaps:
            assert set(heatmaps) == {"generator", "local", "global"}
            np.testing.assert_allclose(heatmaps["generator"], expected.heatmap, rtol=1e-3)
            small = Image.open(out / f"{name}.png").resize(SIZE[::-1], Image.Resampling.BICUBIC)
            for name, heatmap in judge([np.asarray(small)]).items():
                scale = name.removesuffix(" discriminator")
                np.testing.assert_allclose(heatmaps[scale], heatmap[0], rtol=1e-2, atol=1e-4)

    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") >= 8
    for name in pictures:
        assert html.escape(f"{name}.png") in page
    for caption in ("input", "translation", "attention", "cycle"):
        assert page.count(f">{caption}<") == 2
    capsys.readouterr()
    (out / "index.html").unlink()
    assert main([*command, "--gallery"]) == 0  # a page of what is there
    assert (out / "index.html").read_text(encoding="utf-8").count(">translation<") == 2


@pytest.mark.parametrize("format", ["png", "webp", "jpg"])
def test_transparency_is_kept_where_the_format_can(
    translator: Translator, run_dir: Path, tmp_path: Path, format: str
) -> None:
    source, out = tmp_path / "cat.png", tmp_path / "out"
    rgba = noise(40, 30, 4)
    rgba[..., 3] = np.linspace(0, 255, 30).astype(np.uint8)
    Image.fromarray(rgba).save(source)
    options = ["--format", format, "--fit", "pad"]
    assert main([str(run_dir), str(source), "--out", str(out), *options]) == 0
    with Image.open(source) as image:
        expected = translator(image, fit="pad")
    with Image.open(out / f"cat.{format}") as image:
        if format == "jpg":
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (30, 40))
            assert np.asarray(image)[:, 0].min() > 200  # white, where nothing is
            return
        result = np.asarray(image)
        assert (image.format, image.mode) == (format.upper(), "RGBA")
    np.testing.assert_array_equal(result[..., 3], rgba[..., 3])
    if format == "png":
        np.testing.assert_allclose(result[..., :3], expected.astype(int), atol=1)


def test_a_full_disk_ends_in_one_line_and_keeps_what_is_done(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rng = tmp_path / "in", np.random.default_rng(0)
    folder.mkdir()
    names = [f"{i}.png" for i in range(9)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / name)
    with small_disk(tmp_path / "disk", "64k") as disk:
        out = disk / "out"
        command = [str(run_dir), str(folder), "--out", str(out), "--fit=stretch"]
        with pytest.raises(SystemExit, match="2"):
            main(command)
        [error] = capsys.readouterr().err.splitlines()
        found = re.search(r"no space left on device for \S+: (\d) of 9 pictures are", error)
        assert found, error
        done = files_in(out) - {RECORD}
        assert 1 <= int(found[1]) <= len(done) < 9 and done < {*names}  # no part of another
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert main(command) == 0
        assert files_in(out) == {RECORD, *names}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/no_run", "{tmp}/cat.jpg", "--out", "{tmp}/out"], "no run in"),
        (["{run}", "{tmp}/cat.jpg", "--out", "{tmp}/out", "--step", "8"], "of step 8"),
        (["{run}", "{tmp}/dog.jpg", "--out", "{tmp}/out"], "no picture or folder"),
        (["{run}", "{tmp}/cat.jpg", "--out", "{tmp}/cat.jpg"], "cannot write into --out"),
        (["{run}", "{tmp}/cat.jpg"], "--out"),
        (["{run}", "{tmp}/cat.jpg", "--out", "{tmp}/out", "--direction", "A2B"], "'A2B'"),
        (["{run}", "{tmp}/cat.jpg", "--out", "{tmp}/out", "--fit", "zoom"], "'zoom'"),
        (["{run}", "{tmp}/cat.jpg", "--out", "{tmp}/out", "--format", "gif"], "'gif'"),
    ],
)
def test_a_command_that_cannot_work_ends_in_one_line(
    run_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    write(tmp_path / "cat.jpg")
    with pytest.raises(SystemExit, match="2"):
        main([argument.format(tmp=tmp_path, run=run_dir) for argument in arguments])
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and message in errors[0]
    assert not os.path.exists(tmp_path / "out" / "cat.png")


def test_a_picture_that_is_too_large_is_reported_by_its_name(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "panorama.png"
    Image.new("L", (60_000, 150)).save(source)
    options = ["--out", str(tmp_path / "out"), "--fit", "native"]
    assert main([str(run_dir), str(source), *options]) == 1
    [error] = capsys.readouterr().err.splitlines()
    assert f"cannot translate {source}: 60000×150 px are too many" in error
    assert "fit tile" in error
