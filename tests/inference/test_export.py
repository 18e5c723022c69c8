"""Exported folders against the run that they were made of, in this program and without it."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from bucket import Store
from ml_collections import ConfigDict
from PIL import Image

from ugatit_jax.config.records import different_fields, load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import datasets, emoji, images, storage
from ugatit_jax.export import main
from ugatit_jax.inference.exporting import export_run
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import weight_shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.runs import checkpoints, directory
from ugatit_jax.runs.exports import FORMAT

SIZE = (32, 40)
# What a user types who has JAX, NumPy and safetensors, and not this program.
ALONE = """
import sys
import jax
import numpy as np
from jax import export
from safetensors.numpy import load_file

folder, direction, pictures, out = sys.argv[1:]
with open(f"{folder}/generator.stablehlo", "rb") as file:
    program = export.deserialize(file.read())
weights = load_file(f"{folder}/{direction}.safetensors")
translate, pictures = jax.jit(program.call), np.load(pictures)
results = [translate(weights, pictures[:1]), translate(weights, pictures)]
np.savez(out, *results)
for name in ("ugatit_jax", "flax", "orbax", "tensorflow", "ml_collections"):
    assert name not in sys.modules, name
print(program.platforms, pictures.shape)
"""


def random_params(config: ConfigDict, seed: int) -> Any:
    rng = np.random.default_rng(seed)

    def draw(path: Any, x: Any) -> np.ndarray:
        # The scale of what a kernel is given stays, or grows: its pictures have some contrast.
        scale = 3 / np.sqrt(np.prod(x.shape[:-1])) if path[-1].key == "kernel" else 0.2
        return rng.normal(scale=scale, size=x.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, weight_shapes(build_method(config), "a2b"))


both_kinds = pytest.mark.parametrize("run_dir", ["light", "full"], indirect=True)


@pytest.fixture(scope="module")
def run_dir(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_config: Callable[[], ConfigDict],
) -> Path:
    """A run with two checkpoints; the second has a moving average."""
    kind = getattr(request, "param", "light")
    folder = tmp_path_factory.mktemp("runs") / kind
    config = tiny_config()
    config.model.light = kind == "light"
    config.data.image_size = SIZE
    directory.prepare_run(folder, config)
    directory.record_start(folder, config, None, 0)
    last, average = (
        {way: random_params(config, 2 * i + j) for j, way in enumerate(("a2b", "b2a"))}
        for i in range(2)
    )
    with checkpoints.open_checkpoints(folder, config.checkpoint) as manager:
        for step in (3, 5):
            state = TrainState(
                step=np.int32(step),
                params={"generators": last, "discriminators": {"x": np.zeros(2)}},
                optimizers={"generators": {"mu": last}, "discriminators": {"x": np.zeros(2)}},
                other={"spectral": {"x": np.zeros(2)}},
                ema={"generators": average} if step == 5 else None,
            )
            checkpoints.save(manager, build_method(config), jax.device_put(state))
    return folder


@pytest.fixture(scope="module")
def emojis() -> np.ndarray:
    """Three of the demo's pictures, uint8 [3, H, W, 3]."""
    folder = emoji.prepare(datasets.find_cache_dir()) / "testA"
    found = images.list_images(folder)[:3]
    return np.stack([images.cover_resize(images.decode(file), SIZE) for file in found])


@pytest.fixture(scope="module")
def exported(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / run_dir.name
    export_run(run_dir, folder)
    return folder


@both_kinds
@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_an_export_translates_as_its_run(
    run_dir: Path, exported: Path, emojis: np.ndarray, direction: str
) -> None:
    ours, theirs = Translator.load(run_dir), Translator.load(exported)
    assert theirs.step == 5
    configs = [load_config(folder / "config.json") for folder in (exported, run_dir)]
    assert different_fields(*configs).keys() <= {"data.source", "data.cache_dir"}
    translated, heatmaps = theirs.with_attention(emojis, direction)
    expected, expected_heatmaps = ours.with_attention(emojis, direction)
    assert expected.std() > 5
    np.testing.assert_array_equal(translated, expected)
    np.testing.assert_array_equal(heatmaps, expected_heatmaps)


@both_kinds
def test_jax_alone_translates_as_the_run(
    run_dir: Path, exported: Path, emojis: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "pictures.npy", emojis)
    arguments = [exported, "b2a", tmp_path / "pictures.npy", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(") (")[0] == "('cpu', 'cuda', 'tpu'"
    expected = Translator.load(run_dir)(emojis, "b2a").astype(int)
    with np.load(tmp_path / "out.npz") as results:
        one, three = results["arr_0"], results["arr_1"]
    assert one.dtype == three.dtype == np.uint8
    assert one.shape == (1, *SIZE, 3) and three.shape == (3, *SIZE, 3)
    np.testing.assert_allclose(one, expected[:1], atol=1)
    np.testing.assert_allclose(three, expected, atol=1)


def test_bfloat16_halves_the_file_and_keeps_the_picture(
    run_dir: Path, exported: Path, emojis: np.ndarray, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    export_run(run_dir, half, dtype="bfloat16")
    sizes = [(folder / "a2b.safetensors").stat().st_size for folder in (half, exported)]
    assert sizes[0] < 0.6 * sizes[1]
    translator = Translator.load(half)
    assert {x.dtype for x in jax.tree.leaves(translator.weights)} == {np.dtype(np.float32)}
    translated = translator(emojis).astype(int)
    difference = np.abs(translated - Translator.load(run_dir)(emojis))
    assert 0 < difference.mean() < 2

    np.save(tmp_path / "pictures.npy", emojis)
    arguments = [half, "a2b", tmp_path / "pictures.npy", tmp_path / "out.npz"]
    subprocess.run([sys.executable, "-c", ALONE, *arguments], check=True, cwd=tmp_path)
    with np.load(tmp_path / "out.npz") as results:
        np.testing.assert_allclose(results["arr_1"], translated, atol=1)


def test_the_folder_describes_itself(run_dir: Path, exported: Path) -> None:
    names = {"a2b.safetensors", "b2a.safetensors", "config.json", "generator.stablehlo"}
    assert {path.name for path in exported.iterdir()} == {*names, "export.json"}
    description = json.loads((exported / "export.json").read_text())
    assert description["format"] == FORMAT
    assert description["run"] == run_dir.name
    assert description["step"] == 5 and description["weights"] == "moving average"
    assert description["dtype"] == "float32" and description["image_size"] == list(SIZE)
    config = json.loads((exported / "config.json").read_text())
    assert config["data"]["source"] == "" and config["data"]["image_size"] == list(SIZE)
    params = Translator.load(run_dir).weights["a2b"]
    assert description["parameters"] == sum(x.size for x in jax.tree.leaves(params))
    assert b".py" not in (exported / "generator.stablehlo").read_bytes()  # nor paths of the maker
    sums = subprocess.run(
        ["sha256sum", *sorted(names)], cwd=exported, capture_output=True, text=True, check=True
    )
    expected = dict(reversed(line.split()) for line in sums.stdout.splitlines())
    assert {name: file["sha256"] for name, file in description["files"].items()} == expected


def test_the_lines_in_export_json_work(
    exported: Path, emojis: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported)
    lines = json.loads(Path("export.json").read_text())["how_to_load"]["jax"]
    names: dict[str, Any] = {"pictures": emojis}
    exec("\n".join(lines), names)
    expected = Translator.load(exported)(emojis).astype(int)
    np.testing.assert_allclose(names["translated"], expected, atol=1)


def test_one_direction_of_an_earlier_step(run_dir: Path, tmp_path: Path, emojis: Any) -> None:
    out = tmp_path / "new" / "out"
    assert main([str(run_dir), "--out", str(out), "--step", "3", "--direction", "b2a"]) == 0
    assert not (out / "a2b.safetensors").exists()
    assert json.loads((out / "export.json").read_text())["weights"] == "last"
    expected = Translator.load(run_dir, 3)(emojis, "b2a")
    np.testing.assert_array_equal(Translator.load(out)(emojis, "b2a"), expected)
    assert Translator.load(out, step=3).step == 3
    with pytest.raises(InputError, match=r"out is an export of step 3 alone: leave out --step$"):
        Translator.load(out, step=5)


@pytest.mark.parametrize(
    ("contents", "overwrite", "message"),
    [
        (["notes.txt"], True, "is not empty and no export: say another folder"),
        (["export.json"], False, "holds an export: say another folder, or --overwrite"),
        (["export.json", "notes.txt"], True, "holds notes.txt beside an export: say another "),
    ],
)
def test_what_is_there_is_not_replaced(
    run_dir: Path, tmp_path: Path, contents: list[str], overwrite: bool, message: str
) -> None:
    for name in contents:
        (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=message):
        export_run(run_dir, tmp_path, overwrite=overwrite)
    assert sorted(path.name for path in tmp_path.iterdir()) == contents


def test_an_earlier_export_is_replaced(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export_run(run_dir, out, 3)
    assert main([str(run_dir), "--out", str(out), "--overwrite", "--direction", "a2b"]) == 0
    assert not (out / "b2a.safetensors").exists()
    assert Translator.load(out).step == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_disk_that_fills_up_leaves_what_was_there(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_run(run_dir, out, 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(InputError, match=r"^cannot write .*out: File too large; nothing was"):
            export_run(run_dir, out, 5, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert Translator.load(out).step == 3


def when_renamed(source: str, do: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Do something just before a folder of this name is renamed, which then may really fail."""
    rename = Path.rename

    def rename_late(path: Path, target: Path) -> Path:
        if path.name == source:
            do()
        return rename(path, target)

    patch.setattr(Path, "rename", rename_late)


def test_an_export_that_cannot_be_put_in_place_leaves_what_was_there(
    run_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_run(run_dir, out, 3)
    with pytest.MonkeyPatch.context() as patch:  # as another export to the same folder would do
        when_renamed(".out.unfinished", lambda: shutil.rmtree(tmp_path / ".out.unfinished"), patch)
        with pytest.raises(InputError, match=r"out: No such file.*; nothing was changed"):
            export_run(run_dir, out, 5, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert Translator.load(out).step == 3


def test_an_export_is_never_lost(run_dir: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "out", tmp_path / ".out.before"

    def get_in_the_way() -> None:
        out.mkdir()
        (out / "notes.txt").write_text("mine")

    export_run(run_dir, out, 3)
    with pytest.MonkeyPatch.context() as patch:
        when_renamed(".out.unfinished", get_in_the_way, patch)
        message = r"out: Directory not empty; the export that was there is in .*\.out\.before: move"
        with pytest.raises(InputError, match=message):
            export_run(run_dir, out, 5, overwrite=True)
    assert Translator.load(before).step == 3
    (out / "notes.txt").unlink()
    with pytest.MonkeyPatch.context() as patch:  # the next attempt fails, too
        when_renamed(".out.unfinished", lambda: shutil.rmtree(tmp_path / ".out.unfinished"), patch)
        with pytest.raises(InputError):
            export_run(run_dir, out, 5)
    assert Translator.load(out).step == 3
    out.rename(before)
    export_run(run_dir, out, 5)
    assert Translator.load(out).step == 5 and not before.exists()


def test_damaged_exports(exported: Path, tmp_path: Path) -> None:
    def copy() -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for path in exported.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        return folder

    def change(folder: Path, **fields: Any) -> None:
        description = json.loads((exported / "export.json").read_text())
        (folder / "export.json").write_text(json.dumps(description | fields))

    newer, damaged, incomplete, flipped = (copy() for _ in range(4))
    change(newer, format=FORMAT + 1)
    change(damaged, files=None)
    (incomplete / "b2a.safetensors").unlink()
    data = bytearray((flipped / "a2b.safetensors").read_bytes())
    data[-1] ^= 1
    (flipped / "a2b.safetensors").write_bytes(data)
    for folder, message in (
        (
            newer,
            f"{newer} was written by a newer ugatit_jax .format 2, this one reads up to 1.: up",
        ),
        (damaged, "cannot read .*export.json: .*; export the run again"),
        (incomplete, "cannot read .*b2a.safetensors: No such file.*; copy the whole folder"),
        (flipped, "a2b.safetensors is not as it was exported .*: copy it again"),
    ):
        with pytest.raises(InputError, match=message):
            Translator.load(folder)


def test_an_export_in_a_bucket_is_read_as_one_in_a_folder(exported: Path, bucket: Store) -> None:
    for file in exported.iterdir():
        bucket.put("bucket", f"export/{file.name}", file.read_bytes())
    address = storage.open_path("gs://bucket/export")
    (config, *there), (_, *here) = map(checkpoints.restore_weights, (address, exported))
    assert config.data.image_size == SIZE
    jax.tree.map(np.testing.assert_array_equal, there, here)
    bucket.put("bucket", "export/b2a.safetensors", b"half")
    with pytest.raises(
        InputError, match=r"gs://bucket/export/b2a\.safetensors is not as it was exp"
    ):
        checkpoints.restore_weights(address)


def test_what_needs_a_run_says_so(exported: Path, tmp_path: Path) -> None:
    message = f"no run in {exported}: it is an export, with generators alone; give the run that"
    with pytest.raises(InputError, match=message):
        checkpoints.restore_state(exported)
    with pytest.raises(InputError, match=message):
        checkpoints.describe_checkpoint(exported, 5)
    with pytest.raises(InputError, match="is exported already: give the run that it was made of"):
        export_run(exported, tmp_path / "out")
    with pytest.raises(InputError, match="holds an export: take another --workdir"):
        directory.prepare_run(exported, load_config(exported / "config.json"))


def test_the_command_line_translates_with_an_export(exported: Path, tmp_path: Path) -> None:
    from ugatit_jax.translate import main as translate

    Image.fromarray(np.full((50, 60, 3), 77, np.uint8)).save(tmp_path / "grey.png")
    out = tmp_path / "out"
    assert translate([str(exported), str(tmp_path / "grey.png"), "--out", str(out)]) == 0
    assert images.decode(out / "grey.png").shape == (*SIZE, 3)
