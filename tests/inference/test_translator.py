"""The translator against the network called by hand."""

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

from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.fit import fit_picture
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Method, weight_shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.methods.ugatit import UGATIT
from ugatit_jax.models import Finish, Generator, translate
from ugatit_jax.runs.checkpoints import open_checkpoints, save

HEIGHT, WIDTH = 16, 24

Network = tuple[ConfigDict, Generator, Any]


def mapped(config: ConfigDict) -> Method:
    return build_method(config, mapped=True)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    """A small random network: config, generator and parameters."""
    config = get_config("light")
    config.model.base_width = 4
    config.model.residual_blocks = 1
    config.model.local_layers = config.model.global_layers = 3
    config.data.image_size = (HEIGHT, WIDTH)
    config.dtype = "float32"
    method = build_method(config)
    assert isinstance(method, UGATIT)
    rng = np.random.default_rng(0)  # compiles nothing, unlike the generator's own initialisation
    params = {
        direction: jax.tree.map(
            lambda x: rng.normal(scale=0.2, size=x.shape).astype(np.float32),
            weight_shapes(method, direction),
        )
        for direction in ("a2b", "b2a")
    }
    return config, method.generator, params


@pytest.fixture(scope="module")
def translator(network: Network) -> Translator:
    config, _, params = network
    return Translator(mapped(config), 7, params)


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


def test_any_number_of_pictures_compiles_each_direction_twice_at_most(network: Network) -> None:
    config, _, params = network
    translator = Translator(mapped(config), 7, params)
    for count in (1, 2, 8, 9, 16, 19):
        translator(noise(count, HEIGHT, WIDTH, 3), "a2b")
        translator(noise(count, 30, 20, 3), "b2a", fit="pad")
    list(translator.translate([translator.prepare(noise(60, 60, 3), "tile")], cycle=True))
    networks: Any = translator._networks
    # Each direction in two batch sizes.
    assert sum(network._translate._cache_size() for network in networks.values()) <= 2 * 2


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
    [alone] = translator([pictures[0]])
    assert alone.shape == (HEIGHT, WIDTH, 3)
    assert translator([]) == []


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_a_cycle_is_not_rounded_on_its_way(
    network: Network, translator: Translator, count: int, direction: str
) -> None:
    _, generator, params = network
    pictures = noise(count, HEIGHT, WIDTH, 3)
    fitted = [translator.prepare(picture) for picture in pictures]
    found = list(translator.translate(fitted, direction, cycle=True))
    assert len(found) == count
    back = {"a2b": "b2a", "b2a": "a2b"}[direction]
    for picture, translated in zip(pictures, found, strict=True):
        expected, _ = by_hand(network, picture, direction)
        np.testing.assert_allclose(translated.picture, expected, atol=1)
        apply: Any = jax.jit(generator.apply)
        there = apply({"params": params[direction]}, picture[None] / np.float32(127.5) - 1)
        cycle = apply({"params": params[back]}, there.image).image[0]
        assert translated.cycle is not None
        np.testing.assert_allclose(translated.cycle, (np.asarray(cycle) + 1) * 127.5, atol=1)


@pytest.mark.parametrize("fit", ["stretch", "pad", "tile", "native"])
def test_other_fits_give_pictures_of_their_own_sizes(translator: Translator, fit: str) -> None:
    pictures = [noise(40, 30, 3), noise(HEIGHT, WIDTH, 3), noise(21, 55, 3, seed=1)]
    translations, heatmaps = translator.with_attention(pictures, fit=fit)
    assert [x.shape for x in translations] == [x.shape for x in pictures]
    assert all(heatmap.ndim == 2 for heatmap in heatmaps)
    for picture, translation in zip(pictures, translations, strict=True):
        np.testing.assert_allclose(translator(picture, fit=fit), translation.astype(int), atol=2)
    assert translator(np.stack(pictures[:1]), fit=fit).shape == (1, 40, 30, 3)


def test_tiles_are_what_the_network_says_of_each(network: Network, translator: Translator) -> None:
    picture = noise(HEIGHT, 2 * WIDTH, 3)
    fitted = fit_picture(picture, "tile", (HEIGHT, WIDTH))
    assert len(fitted.tiles) == 3
    expected, expected_heat = zip(*(by_hand(network, x, "a2b") for x in fitted.tiles), strict=True)
    translation, heatmap = translator.with_attention(picture, fit="tile")
    np.testing.assert_allclose(translation, fitted.join(expected).astype(int), atol=1)
    np.testing.assert_allclose(heatmap, fitted.join_heatmaps(expected_heat), rtol=1e-3, atol=1e-3)


def test_native_shows_the_network_the_whole_picture(
    network: Network, translator: Translator
) -> None:
    picture = noise(60, 100, 3)
    padded = np.pad(picture, ((0, 4), (0, 28), (0, 0)), "reflect")
    expected, heat = by_hand(network, padded, "a2b")
    translation, heatmap = translator.with_attention(picture, fit="native")
    np.testing.assert_allclose(translation, expected[:60, :100], atol=1)
    np.testing.assert_allclose(heatmap, heat[:15, :25], rtol=1e-3, atol=1e-3)


def test_a_full_generator_says_why_it_cannot_be_native() -> None:
    config = get_config("")
    config.data.image_size = (HEIGHT, WIDTH)
    translator = Translator(mapped(config), 7, {"a2b": {}, "b2a": {}})
    with pytest.raises(InputError, match="fully connected layer"):
        translator(noise(HEIGHT, WIDTH, 3), fit="native")


def test_pictures_are_taken_as_they_are_needed(translator: Translator) -> None:
    taken: list[None] = []

    def endless() -> Any:
        while True:
            taken.append(None)
            yield translator.prepare(noise(HEIGHT, WIDTH, 3))

    results = translator.translate(endless())
    assert next(results).cycle is None
    assert len(taken) <= 3 * 8


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
        (np.zeros((16, 24, 3), np.float32), r"float32 \[16, 24, 3\].*np.rint\(255 \* x\)"),
        (np.zeros((16, 24), np.uint8), r"uint8 \[16, 24\]"),
        (np.zeros((2, 16, 24, 4), np.uint8), r"uint8 \[16, 24, 4\]"),
        (np.zeros((0, 24, 3), np.uint8), r"uint8 \[0, 24, 3\]"),
        (np.zeros((0, 16, 24, 3), np.uint8), r"uint8 \[0, 16, 24, 3\]"),
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
    with pytest.raises(InputError, match="'A2B': choose a2b or b2a"):
        translator(noise(HEIGHT, WIDTH, 3), "A2B")
    with pytest.raises(InputError, match="no fit 'cover': choose one of crop"):
        translator(noise(HEIGHT, WIDTH, 3), "a2b", "cover")


def test_weights_of_one_direction_have_no_other(network: Network) -> None:
    config, _, params = network
    translator = Translator(mapped(config), 7, {"b2a": params["b2a"]})
    translator.check("b2a")
    for direction, cycle in (("a2b", False), ("b2a", True)):
        with pytest.raises(InputError, match="no generator a2b: they are of b2a alone"):
            translator.check(direction, cycle=cycle)


def test_the_package_itself_has_the_translator_and_loads_nothing_for_it() -> None:
    import ugatit_jax

    assert ugatit_jax.Translator is Translator
    code = "import sys, ugatit_jax; assert not {'jax', 'flax', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_translating_needs_no_tensorflow() -> None:
    modules = ("translate", "evaluate", "viewing.visualize")
    code = "import sys; sys.modules['tensorflow'] = None; import " + ", ".join(
        f"ugatit_jax.{module}" for module in modules
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.fixture(scope="module")
def run_dir(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with checkpoints of steps 7 and 12; the generators of 12 are swapped."""
    config, _, params = network
    folder = tmp_path_factory.mktemp("run")
    save_config(config, folder / "config.json")
    swapped = {"a2b": params["b2a"], "b2a": params["a2b"]}
    with open_checkpoints(folder, config.checkpoint) as checkpoints:
        for step, generators in ((7, params), (12, swapped)):
            nothing = np.zeros(1)  # for what translating does not read
            save(
                checkpoints,
                build_method(config),
                TrainState(
                    step=jnp.asarray(step),
                    params={"generators": generators, "discriminators": nothing},
                    optimizers={"generators": nothing, "discriminators": nothing},
                    other={"spectral": nothing},
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


def test_details_have_the_cycle_and_the_transparency(
    network: Network, translator: Translator
) -> None:
    rgba = Image.fromarray(noise(HEIGHT, WIDTH, 4))
    found = translator.details(rgba, cycle=True)
    opaque = Image.new("RGB", rgba.size, "white")
    opaque.paste(rgba, mask=rgba.getchannel("A"))
    translated = translator(np.asarray(opaque))
    np.testing.assert_array_equal(found.picture, translated)
    np.testing.assert_array_equal(found.alpha, np.asarray(rgba)[..., 3])
    np.testing.assert_array_equal(np.asarray(found.image), np.dstack([translated, found.alpha]))
    _, generator, params = network
    x = np.asarray(opaque)[None].astype(np.float32) / 127.5 - 1
    there = generator.apply({"params": params["a2b"]}, x).image
    back = generator.apply({"params": params["b2a"]}, there).image[0]
    assert found.cycle is not None
    np.testing.assert_allclose(found.cycle, (back + 1) * 127.5, atol=0.51)
    several = translator.details([rgba, np.asarray(opaque)], fit="stretch")
    assert [one.alpha is None for one in several] == [False, True]
    assert several[1].image.mode == "RGB" and several[1].cycle is None


def test_type_and_devices_can_be_chosen(network: Network, run_dir: Path) -> None:
    picture = noise(HEIGHT, WIDTH)[..., None].repeat(3, -1)
    on_one = Translator.load(run_dir, devices=jax.devices()[3:4])
    assert jax.tree.leaves(on_one.weights)[0].devices() == {jax.devices()[3]}
    exact = Translator.load(run_dir)(picture)
    np.testing.assert_array_equal(on_one(picture), exact)
    rough = Translator.load(run_dir, dtype="bfloat16")(picture).astype(int)
    assert 0 < np.abs(rough - exact).max() < 16
    with pytest.raises(InputError, match="no dtype 'float16': choose auto, float32 or bfloat16"):
        Translator.load(run_dir, dtype="float16")


def test_places_to_average_over_can_be_chosen(network: Network, run_dir: Path) -> None:
    pictures = noise(3, HEIGHT, WIDTH, 3)
    _, generator, params = network
    x = jnp.asarray(pictures / 127.5 - 1, jnp.float32)
    expected = translate(generator, params["a2b"], x, Finish(shifts=2)).image
    found = Translator.load(run_dir, step=7, shifts=2)(pictures)
    np.testing.assert_allclose(found, (np.asarray(expected) + 1) * 127.5, atol=0.51)
    assert (Translator.load(run_dir, step=7)(pictures) != found).any()
    with pytest.raises(InputError, match="shifts=3 of ugatit: 1, 2 or 4, of ugatit alone"):
        Translator.load(run_dir, shifts=3)
