"""Scores against scores computed by other means; a whole evaluation on small files."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from configs.default import get_config
from ugatit_jax import emoji
from ugatit_jax.checkpoint import open_checkpoints, save
from ugatit_jax.config import load_config, save_config
from ugatit_jax.datasets import Domain
from ugatit_jax.errors import InputError
from ugatit_jax.evaluate import (
    evaluate,
    evaluate_direction,
    l1,
    main,
    score_table,
    ssim,
    verdict,
)
from ugatit_jax.models import build_generator
from ugatit_jax.train_step import TrainState
from ugatit_jax.translate import Translator


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def ssim_by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, in float64."""

    def blur(z: np.ndarray) -> np.ndarray:  # radius 5: a window of 11 px, whole ones only
        return gaussian_filter(z, 1.5, radius=5, axes=(0, 1))[5:-5, 5:-5]

    x, y = x.astype(np.float64) / 255, y.astype(np.float64) / 255
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(similarity.mean())


@pytest.mark.parametrize("mix", [0.0, 0.3, 0.9, 1.0])
def test_ssim_is_that_of_the_paper(mix: float) -> None:
    x, other = noise(24, 40, 3), noise(24, 40, 3, seed=1)
    x[:, :20] = 200  # half of it flat, where the constants decide
    y = np.rint(mix * x + (1 - mix) * other).astype(np.uint8)
    assert ssim(x, y) == pytest.approx(ssim_by_scipy(x, y), abs=1e-4)


def test_ssim_of_a_negative_is_negative() -> None:
    x = noise(24, 24, 3)
    assert ssim(x, 255 - x) == pytest.approx(ssim_by_scipy(x, 255 - x), abs=1e-4)
    assert ssim(x, 255 - x) < 0


def test_l1_is_on_a_scale_of_one() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert l1(black, black + 255) == l1(black + 255, black) == 1.0
    assert l1(black + 10, black + 61) == pytest.approx(0.2)


def write_domain(folder: Path, names: list[str], seed: int = 0) -> Domain:
    files = [folder / name for name in names]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 16, 3, seed=seed + i)).save(file)
    return Domain(names, files)


@pytest.fixture(scope="module")
def translator() -> Translator:
    config = get_config("light")
    config.model.base_width = 4
    config.model.residual_blocks = 1
    config.data.image_size = (16, 16)
    init = build_generator(config).init
    shapes = jax.eval_shape(init, jax.random.key(0), np.zeros((1, 16, 16, 3)))["params"]
    rng = np.random.default_rng(0)  # compiles nothing, unlike the generator's own initialisation
    params = {
        direction: jax.tree.map(
            lambda x: rng.normal(scale=0.2, size=x.shape).astype(np.float32), shapes
        )
        for direction in ("a2b", "b2a")
    }
    return Translator(config, 7, params)


NAMES = ["one.png", "x/two.png", *(f"{i}.png" for i in range(8))]


def test_translations_are_written_under_the_names_of_their_inputs(
    translator: Translator, tmp_path: Path
) -> None:
    sources = write_domain(tmp_path / "in", NAMES)
    scores, rows = evaluate_direction(translator, "b2a", sources, None, tmp_path / "out")
    assert scores == {}
    for i, (name, row) in enumerate(zip(NAMES, rows, strict=True)):
        written = np.asarray(Image.open(tmp_path / "out" / name))
        expected = translator(noise(16, 16, 3, seed=i), "b2a")
        np.testing.assert_allclose(written, expected.astype(int), atol=1)
        assert row.name == name and list(row.pictures) == ["input", "translation", "attention"]
        np.testing.assert_array_equal(row.pictures["translation"], written)


def test_scores_are_means_against_the_counterparts(translator: Translator, tmp_path: Path) -> None:
    sources = write_domain(tmp_path / "in", NAMES)
    truths = write_domain(tmp_path / "truth", NAMES, seed=100)
    scores, rows = evaluate_direction(translator, "a2b", sources, truths, tmp_path / "out")
    for what in ("translation", "input"):
        pairs = [(row.pictures[what], row.pictures["true counterpart"]) for row in rows]
        differences = [np.abs(x.astype(float) - y).mean() / 255 for x, y in pairs]
        assert scores["L1"][what] == pytest.approx(np.mean(differences))
        assert scores["SSIM"][what] == pytest.approx(
            np.mean([ssim_by_scipy(x, y) for x, y in pairs]), abs=1e-4
        )
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(row.pictures["input"], noise(16, 16, 3, seed=i))
        np.testing.assert_array_equal(
            row.pictures["true counterpart"], noise(16, 16, 3, seed=100 + i)
        )


def test_a_perfect_translation_has_perfect_scores(translator: Translator, tmp_path: Path) -> None:
    sources = write_domain(tmp_path / "in", NAMES[:2])
    evaluate_direction(translator, "a2b", sources, None, tmp_path / "truth")
    truths = Domain(NAMES[:2], [tmp_path / "truth" / name for name in NAMES[:2]])
    scores, _ = evaluate_direction(translator, "a2b", sources, truths, tmp_path / "out")
    assert scores["L1"]["translation"] == 0 and scores["L1"]["input"] > 0
    assert scores["SSIM"]["translation"] == pytest.approx(1, abs=1e-5)
    assert verdict("a2b", scores) == (
        "A to B: the translation beats the untranslated input on both scores."
    )


def test_a_tie_does_not_beat_the_input() -> None:
    tie = {"translation": 0.5, "input": 0.5}
    lower = {"translation": 0.7, "input": 0.8}
    for scores, where in (
        ({"L1": tie, "SSIM": tie}, "on neither score."),
        ({"L1": tie, "SSIM": lower}, "on neither score."),
        ({"L1": lower, "SSIM": tie}, "on L1, but not on SSIM."),
    ):
        assert verdict("b2a", scores).startswith("B to A: ")
        assert verdict("b2a", scores).endswith(where)


def test_score_table() -> None:
    scores = {
        "L1": {"translation": 0.12345, "input": 0.5},
        "SSIM": {"translation": 0.9, "input": 0.1},
    }
    assert score_table({"a2b": scores}) == [
        ["", "L1 translation", "L1 input", "SSIM translation", "SSIM input"],
        ["A to B", "0.1235", "0.5000", "0.9000", "0.1000"],
    ]
    assert score_table({}) == []


def test_names_that_would_overwrite_each_other_are_refused(
    translator: Translator, tmp_path: Path
) -> None:
    sources = write_domain(tmp_path / "in", ["cat.bmp", "cat.png"])
    with pytest.raises(InputError, match=r"cat\.bmp and cat\.png would both become"):
        evaluate_direction(translator, "a2b", sources, None, tmp_path / "out")


@pytest.fixture
def run_dir(translator: Translator, tmp_path: Path) -> Path:
    """A run directory on a folder of pictures, 10 in testA and 2 in testB."""
    data, run = tmp_path / "data", tmp_path / "run"
    for split, names in (("trainA", NAMES), ("trainB", NAMES), ("testA", NAMES)):
        write_domain(data / split, names)
    write_domain(data / "testB", ["a.png", "b.png"], seed=50)
    config = translator.config.copy_and_resolve_references()
    config.data.source = str(data)
    run.mkdir()
    save_config(config, run / "config.json")
    nothing = np.zeros(1)  # for what translating does not read
    state = TrainState(
        step=jnp.asarray(1200),
        generators=translator.params,
        discriminators=nothing,
        spectral=nothing,
        generator_optimizer=nothing,
        discriminator_optimizer=nothing,
        ema=None,
    )
    with open_checkpoints(run, config) as checkpoints:
        save(checkpoints, state)
    return run


def test_a_run_is_evaluated_into_its_directory(
    translator: Translator, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run_dir), "--limit", "3"]) == 0
    folder = run_dir / "evaluation" / "1200"
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"gallery: {folder / 'index.html'}"
    assert "step 1,200: 3 pictures A to B and 2 pictures B to A, 16 × 16 px" in printed[0]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert written == {"a2b/0.png", "a2b/1.png", "a2b/2.png", "b2a/a.png", "b2a/b.png"}
    translation = np.asarray(Image.open(folder / "b2a" / "b.png")).astype(int)
    np.testing.assert_allclose(translation, translator(noise(16, 16, 3, seed=51), "b2a"), atol=1)
    report = json.loads((folder / "report.json").read_text())
    assert report["step"] == 1200 and report["image_size"] == [16, 16]
    assert report["pictures"] == {"a2b": 3, "b2a": 2}
    assert report["scores"] == {} and report["verdict"] == []
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 3 * (3 + 2) and "SSIM" not in page


def test_known_counterparts_are_scored(run_dir: Path, tmp_path: Path) -> None:
    # The one data set with known counterparts; a cache that looks filled saves rendering it.
    rendered = tmp_path / "cache" / f"emoji-128px-v{emoji._RECIPE}"
    for seed, split in enumerate(("trainA", "trainB", "testA", "testB")):
        write_domain(rendered / split, ["1f600.png", "1f601.png"], seed=10 * seed)
    config = load_config(run_dir / "config.json")
    config.data.source, config.data.cache_dir = "emoji", str(tmp_path / "cache")
    save_config(config, run_dir / "config.json")

    report, folder = evaluate(run_dir)
    a = [noise(16, 16, 3, seed=20 + i).astype(float) for i in range(2)]
    b = [noise(16, 16, 3, seed=30 + i).astype(float) for i in range(2)]
    for direction, inputs, truths in (("a2b", a, b), ("b2a", b, a)):
        files = [folder / direction / name for name in ("1f600.png", "1f601.png")]
        translations = [np.asarray(Image.open(file)) for file in files]
        for what, pictures in (("translation", translations), ("input", inputs)):
            pairs = list(zip(pictures, truths, strict=True))
            l1s = [np.abs(x - y).mean() / 255 for x, y in pairs]
            ssims = [ssim_by_scipy(x, y) for x, y in pairs]
            scores = report["scores"][direction]
            assert scores["L1"][what] == pytest.approx(np.mean(l1s))
            assert scores["SSIM"][what] == pytest.approx(np.mean(ssims), abs=1e-4)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("true counterpart</figcaption>") == 4
    assert len(report["verdict"]) == 2
    assert all(f"<p>{line}</p>" in page for line in report["verdict"])


def test_a_run_without_test_pictures_cannot_be_evaluated(run_dir: Path) -> None:
    data = Path(load_config(run_dir / "config.json").data.source)
    for split in ("testA", "testB"):
        (data / split).rename(data / f"no {split}")
    with pytest.raises(InputError, match="no test pictures in"):
        evaluate(run_dir)
    with pytest.raises(InputError, match="--limit 0 leaves no pictures"):
        evaluate(run_dir, limit=0)
