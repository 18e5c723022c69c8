"""The translator against the network called by hand, and the command line on real files."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from configs.default import get_config
from ugatit_jax.checkpoint import open_checkpoints, save
from ugatit_jax.config import save_config
from ugatit_jax.errors import InputError
from ugatit_jax.models import Generator, build_generator
from ugatit_jax.train_step import TrainState
from ugatit_jax.translate import Translator, main, plan_outputs

HEIGHT, WIDTH = 16, 24

Network = tuple[ConfigDict, Generator, Any]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    """A small random network: config, generator and parameters."""
    config = get_config("light")
    config.model.base_width = 4
    config.model.residual_blocks = 1
    config.data.image_size = (HEIGHT, WIDTH)
    config.dtype = "float32"
    generator = build_generator(config)
    shapes = jax.eval_shape(generator.init, jax.random.key(0), np.zeros((1, HEIGHT, WIDTH, 3)))
    rng = np.random.default_rng(0)  # compiles nothing, unlike the generator's own initialisation
    params = {
        direction: jax.tree.map(
            lambda x: rng.normal(scale=0.2, size=x.shape).astype(np.float32), shapes["params"]
        )
        for direction in ("a2b", "b2a")
    }
    return config, generator, params


@pytest.fixture(scope="module")
def translator(network: Network) -> Translator:
    config, _, params = network
    return Translator(config, 7, params)


def by_hand(network: Network, picture: np.ndarray, direction: str) -> tuple[np.ndarray, np.ndarray]:
    _, generator, params = network
    x = picture[None].astype(np.float32) / 127.5 - 1
    result = jax.jit(generator.apply)({"params": params[direction]}, x)
    return np.rint((np.asarray(result.image[0]) + 1) * 127.5), np.asarray(result.heatmap[0])


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_one_picture_of_the_networks_size_is_what_the_network_says(
    network: Network, translator: Translator, direction: str
) -> None:
    picture = noise(HEIGHT, WIDTH, 3)
    expected, expected_heat = by_hand(network, picture, direction)
    assert expected.std() > 10
    translation, heatmap = translator.with_attention(picture, direction)
    assert translation.dtype == np.uint8 and translation.shape == (HEIGHT, WIDTH, 3)
    assert heatmap.dtype == np.float32 and heatmap.shape == (HEIGHT // 4, WIDTH // 4)
    np.testing.assert_allclose(translation, expected, atol=1)
    np.testing.assert_allclose(heatmap, expected_heat, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(translator(picture, direction), translation)


def test_many_pictures_are_translated_as_each_alone(translator: Translator) -> None:
    pictures = noise(11, HEIGHT, WIDTH, 3)
    translations, heatmaps = translator.with_attention(pictures)
    assert translations.shape == (11, HEIGHT, WIDTH, 3) and heatmaps.shape == (11, 4, 6)
    for picture, translation, heatmap in zip(pictures, translations, heatmaps, strict=True):
        alone, alone_heat = translator.with_attention(picture)
        np.testing.assert_allclose(translation, alone.astype(int), atol=1)
        np.testing.assert_allclose(heatmap, alone_heat, rtol=1e-3, atol=1e-3)


def test_any_number_of_pictures_compiles_twice_at_most(network: Network) -> None:
    config, _, params = network
    translator = Translator(config, 7, params)
    for count in (1, 2, 8, 9, 16, 19):
        translator(noise(count, HEIGHT, WIDTH, 3), "a2b")
        translator(noise(count, HEIGHT, WIDTH, 3), "b2a")
    apply: Any = translator._apply
    assert apply._cache_size() <= 2


def test_all_kinds_of_input_for_the_same_pictures(translator: Translator) -> None:
    pictures = noise(2, HEIGHT, WIDTH, 3)
    expected = translator(pictures)
    for same in (
        list(pictures),
        jnp.asarray(pictures),
        [Image.fromarray(picture) for picture in pictures],
        (pictures[0], Image.fromarray(pictures[1])),
    ):
        np.testing.assert_array_equal(translator(same), expected)
    one = translator(Image.fromarray(pictures[0]))
    np.testing.assert_allclose(one, expected[0].astype(int), atol=1)
    assert translator([pictures[0]]).shape == (1, HEIGHT, WIDTH, 3)
    assert translator([]).shape == (0, HEIGHT, WIDTH, 3)


def test_other_sizes_are_scaled_to_cover_and_cropped_to_the_middle(translator: Translator) -> None:
    picture = noise(HEIGHT, WIDTH, 3)
    wide = np.pad(picture, ((0, 0), (10, 10), (0, 0)))
    high = np.pad(picture, ((6, 6), (0, 0), (0, 0)))
    large = picture.repeat(4, 0).repeat(4, 1)
    for other in translator([wide, high]):
        np.testing.assert_array_equal(other, translator([picture, picture])[0])
    assert translator(large).shape == (HEIGHT, WIDTH, 3)


def test_transparency_is_white(translator: Translator) -> None:
    clear = Image.new("RGBA", (WIDTH, HEIGHT), (255, 0, 0, 0))
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    np.testing.assert_array_equal(translator(clear), translator(white))


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (np.zeros((16, 24, 3), np.float32), r"float32 \[16, 24, 3\]"),
        (np.zeros((16, 24), np.uint8), r"uint8 \[16, 24\]"),
        (np.zeros((2, 16, 24, 4), np.uint8), r"uint8 \[16, 24, 4\]"),
        (np.zeros((0, 24, 3), np.uint8), r"uint8 \[0, 24, 3\]"),
        (np.zeros((1, 2, 16, 24, 3), np.uint8), r"uint8 \[1, 2, 16, 24, 3\]"),
        ([np.zeros((16, 24, 3), np.uint8), "cat.jpg"], "array of <U7"),
        ("cat.jpg", "a str"),
        (None, "a NoneType"),
    ],
)
def test_other_things_are_refused(translator: Translator, pictures: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        translator(pictures)
    assert "\n" not in str(caught.value)


def test_an_unknown_direction_is_refused(translator: Translator) -> None:
    with pytest.raises(InputError, match="'A2B': say a2b or b2a"):
        translator(noise(HEIGHT, WIDTH, 3), "A2B")


def write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(20, 30, 3, seed=seed)).save(path)
    return path


def test_outputs_keep_the_folders_below_each_input(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    one = write(folder / "one.jpg")
    deep = write(folder / "x" / "y" / "two.webp")
    alone = write(tmp_path / "three.bmp")
    assert plan_outputs([folder, alone], out) == {
        one: out / "one.png",
        deep: out / "x" / "y" / "two.png",
        alone: out / "three.png",
    }


def test_plans_that_would_lose_a_picture_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    jpg, png = write(folder / "cat.jpg"), write(folder / "cat.png")
    (tmp_path / "empty").mkdir()
    for inputs, out, message in (
        ([folder], tmp_path / "out", "cat.jpg and .*cat.png would both become"),
        ([folder], folder, "inside the input folder"),
        ([folder], folder / "anime", "inside the input folder"),
        ([png], folder, "cat.png would be overwritten"),
        ([tmp_path / "empty"], tmp_path / "out", "no pictures in"),
        ([tmp_path / "nothing.jpg"], tmp_path / "out", "no picture or folder"),
    ):
        with pytest.raises(InputError, match=message):
            plan_outputs(inputs, out)
    assert plan_outputs([jpg], folder / "anime") == {jpg: folder / "anime" / "cat.png"}


def test_translating_and_showing_need_no_tensorflow() -> None:
    modules = ("translate", "evaluate", "visualize")
    code = "import sys; sys.modules['tensorflow'] = None; import " + ", ".join(
        f"ugatit_jax.{module}" for module in modules
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.fixture(scope="module")
def run_dir(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with checkpoints of steps 7 and 12; the generators of 12 are swapped."""
    config, _, params = network
    folder = tmp_path_factory.mktemp("run")
    save_config(config, folder / "config.json")
    swapped = {"a2b": params["b2a"], "b2a": params["a2b"]}
    with open_checkpoints(folder, config) as checkpoints:
        for step, generators in ((7, params), (12, swapped)):
            nothing = np.zeros(1)  # for what translating does not read
            save(
                checkpoints,
                TrainState(
                    step=jnp.asarray(step),
                    generators=generators,
                    discriminators=nothing,
                    spectral=nothing,
                    generator_optimizer=nothing,
                    discriminator_optimizer=nothing,
                    ema=None,
                ),
            )
    return folder


def test_a_run_is_loaded_at_its_newest_or_at_a_given_step(
    translator: Translator, run_dir: Path
) -> None:
    picture = noise(HEIGHT, WIDTH, 3)
    newest, older = Translator.load(run_dir), Translator.load(run_dir, step=7)
    assert (newest.step, older.step) == (12, 7)
    np.testing.assert_array_equal(older(picture, "a2b"), translator(picture, "a2b"))
    np.testing.assert_array_equal(newest(picture, "a2b"), translator(picture, "b2a"))


def test_folders_are_translated_and_bad_pictures_reported(
    translator: Translator, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    names = [f"{i}.png" for i in range(9)] + ["x/deep.png"]
    for i, name in enumerate(names):
        write(folder / name, seed=i)
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    command = [str(run_dir), str(folder), "--out", str(out), "--direction", "b2a", "--step", "7"]

    assert main(command) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and str(folder / "3.png") in errors[0]
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == set(names) - {"3.png"}
    for i, name in enumerate(names):
        if name != "3.png":
            translation = np.asarray(Image.open(out / name)).astype(int)
            expected = translator(noise(20, 30, 3, seed=i), "b2a")
            np.testing.assert_allclose(translation, expected, atol=1)


def test_only_overwrite_translates_again(run_dir: Path, tmp_path: Path) -> None:
    source, out = write(tmp_path / "cat.jpg"), tmp_path / "out"
    assert main([str(run_dir), str(source), "--out", str(out)]) == 0
    first = (out / "cat.png").read_bytes()
    (out / "cat.png").write_bytes(b"mine")
    assert main([str(run_dir), str(source), "--out", str(out)]) == 0
    assert (out / "cat.png").read_bytes() == b"mine"
    assert main([str(run_dir), str(source), "--out", str(out), "--overwrite"]) == 0
    assert (out / "cat.png").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/no_run", "{tmp}/cat.jpg", "--out", "{tmp}/out"], "no run in"),
        (["{run}", "{tmp}/cat.jpg", "--out", "{tmp}/out", "--step", "8"], "of step 8"),
        (["{run}", "{tmp}/dog.jpg", "--out", "{tmp}/out"], "no picture or folder"),
        (["{run}", "{tmp}/cat.jpg", "--out", "{tmp}/cat.jpg"], "cannot write into --out"),
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
