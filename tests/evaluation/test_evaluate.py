"""Whole evaluations on small files: of a run, and of folders."""

import json
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from similarity import noise, ssim_by_tensorflow

from ugatit_jax import translate as translating
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import load_config, save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import emoji
from ugatit_jax.data.datasets import Domain
from ugatit_jax.evaluate import main
from ugatit_jax.evaluation import presentation
from ugatit_jax.evaluation.evaluate_folders import evaluate_folders
from ugatit_jax.evaluation.evaluate_run import evaluate_run, translate_into
from ugatit_jax.inference import attention_maps
from ugatit_jax.inference.files import FileTranslator
from ugatit_jax.inference.options import Options
from ugatit_jax.inference.record import Made, Record
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import weight_shapes
from ugatit_jax.methods.state import TrainState
from ugatit_jax.metrics.features import open_extractor
from ugatit_jax.metrics.kid import kid
from ugatit_jax.runs.checkpoints import open_checkpoints, save
from ugatit_jax.viewing.gallery import GallerySection


def write_domain(folder: Path, names: list[str], seed: int = 0) -> Domain:
    files = [folder / name for name in names]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 16, 3, seed=seed + i)).save(file)
    return Domain(names, files)


@pytest.fixture(scope="module")
def tiny() -> ConfigDict:
    config = get_config("light")
    config.model.base_width = 4
    config.model.residual_blocks = 1
    config.model.local_layers = config.model.global_layers = 3
    config.data.image_size = (16, 16)
    return config


@pytest.fixture(scope="module")
def translator(tiny: ConfigDict) -> Translator:
    return random_translator(tiny)


def random_translator(config: ConfigDict) -> Translator:
    method = build_method(config, mapped=True)
    shapes = weight_shapes(method, "a2b")
    rng = np.random.default_rng(0)  # compiles nothing, unlike the generator's own initialisation
    params = {
        direction: jax.tree.map(
            lambda x: rng.normal(scale=0.2, size=x.shape).astype(np.float32), shapes
        )
        for direction in ("a2b", "b2a")
    }
    return Translator(method, 7, params)


class NoDiscriminators:
    """In the place of those of a run: the runs here have none."""

    @classmethod
    def load(cls, *_: object) -> "NoDiscriminators":
        return cls()

    def __call__(self, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
        return {scale: np.zeros((len(pictures), 2, 2)) for scale in ("local", "global")}


NAMES = ["one.png", "x/two.png", *(f"{i}.png" for i in range(8))]


def test_translations_are_written_under_the_names_of_their_inputs(
    translator: Translator, tmp_path: Path
) -> None:
    sources = write_domain(tmp_path / "in", NAMES)
    pictures, heatmaps = translate_into(tmp_path / "out", translator, "b2a", sources)
    assert pictures.names == NAMES and len(heatmaps) == len(NAMES)
    for i in range(len(NAMES)):
        expected = translator(noise(16, 16, 3, seed=i), "b2a")
        np.testing.assert_allclose(pictures.load(i), expected.astype(int), atol=1)


def test_a_method_without_heat_maps_is_translated_all_the_same(tmp_path: Path) -> None:
    config = get_config("cyclegan")
    config.model.base_width = 4
    config.model.residual_blocks = 1
    config.data.image_size = (32, 32)
    translator, sources = random_translator(config), write_domain(tmp_path / "in", NAMES[:2])
    pictures, heatmaps = translate_into(tmp_path / "out", translator, "a2b", sources)
    assert heatmaps == [] and pictures.load(1).shape == (32, 32, 3)
    with pytest.raises(InputError, match="no attention to show: leave out --attention"):
        made = Made("run", 7, "0" * 16, "a2b", "crop", "png")
        FileTranslator(translator, Options(attention=True), made, Record(tmp_path / "out"))


def test_names_that_would_overwrite_each_other_are_refused(
    translator: Translator, tmp_path: Path
) -> None:
    sources = write_domain(tmp_path / "in", ["cat.bmp", "cat.png"])
    with pytest.raises(InputError, match=r"cat\.bmp and cat\.png would both become"):
        translate_into(tmp_path / "out", translator, "a2b", sources)


@pytest.fixture
def run_dir(tiny: ConfigDict, translator: Translator, tmp_path: Path) -> Path:
    """A run directory on a folder of pictures, 10 in testA and 2 in testB."""
    data, run = tmp_path / "data", tmp_path / "run"
    for split, names in (("trainA", NAMES), ("trainB", NAMES), ("testA", NAMES)):
        write_domain(data / split, names)
    write_domain(data / "testB", ["a.png", "b.png"], seed=50)
    config = tiny.copy_and_resolve_references()
    config.data.source = str(data)
    run.mkdir()
    save_config(config, run / "config.json")
    save_step(run, translator, 1200)
    return run


def save_step(
    run: Path, translator: Translator, step: int, kids: dict[str, float] | None = None
) -> None:
    nothing = np.zeros(1)  # for what translating does not read
    state = TrainState(
        step=jnp.asarray(step),
        params={"generators": translator.weights, "discriminators": nothing},
        optimizers={"generators": nothing, "discriminators": nothing},
        other={"spectral": nothing},
        ema=None,
    )
    with open_checkpoints(run, get_config("light").checkpoint) as checkpoints:
        save(checkpoints, translator.method, state, kids)


def test_a_run_is_evaluated_into_its_directory(
    translator: Translator, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run_dir), "--limit", "6"]) == 0
    folder = run_dir / "evaluation" / "1200"
    printed = capsys.readouterr().out
    assert (folder / "report.md").read_text(encoding="utf-8") in printed
    assert printed.splitlines()[-1] == f"gallery: {folder / 'index.html'}"
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    a2b = "012345"
    assert written == {f"a2b/{x}.png" for x in a2b} | {"b2a/a.png", "b2a/b.png"}
    report = json.loads((folder / "report.json").read_text())
    assert report["checkpoint"] == {
        "step": 1200,
        "is": ["newest"],
        "newest_step": 1200,
        "best_step": None,
        "kid_x100_while_training": None,
    }
    assert report["image_size"] == [16, 16]
    assert "Scored: test A 6 of 10 found, test B all 2." in printed
    extractor = open_extractor("efficientnet-lite0")
    assert report["features"]["sha256"] == extractor.sha256
    assert "Pillow" in report["features"]["preprocessing"]

    # The figures again, from the files that it left.
    fakes = [np.asarray(Image.open(folder / "a2b" / f"{x}.png")) for x in "012345"]
    features = [extractor(x) for x in (fakes, [noise(16, 16, 3, seed=50 + i) for i in range(2)])]
    row = report["directions"]["a2b"]["rows"]["translated"]
    assert (row["pictures"], row["target_pictures"]) == (6, 2)
    assert row["kid_x100"]["mean"] == pytest.approx(100 * kid(*features).mean, rel=1e-4)
    ssims = [ssim_by_tensorflow(x, noise(16, 16, 3, seed=2 + i)) for i, x in enumerate(fakes)]
    assert row["to_input"]["ssim"] == pytest.approx(np.mean(ssims), abs=1e-4)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 3 * (6 + 2)
    best = min(
        report["directions"]["b2a"]["per_picture"],
        key=lambda picture: picture["feature_distance_to_nearest_target"],
    )["name"]
    other = {"a.png": "b.png", "b.png": "a.png"}[best]
    assert page.index(f"{best} ·") < page.index(f"{other} ·")


def test_a_step_that_was_chosen_by_these_pictures_is_called_so(
    translator: Translator, run_dir: Path, tmp_path: Path
) -> None:
    save_step(run_dir, translator, 1300, {"a2b": 0.1, "b2a": 0.1})
    other = tmp_path / "other"
    for split in ("trainA", "trainB", "testA", "testB"):
        write_domain(other / split, ["a.png", "b.png"], seed=90)
    for step, data, said in (("best", "", True), (None, "", False), ("best", str(other), False)):
        report, folder = evaluate_run(run_dir, step, data, limit=2, overwrite=True)
        assert report["checkpoint"]["is"] == ["newest", "best"]
        for file in ("report.md", "index.html"):
            text = (folder / file).read_text(encoding="utf-8")
            assert (
                "Step 1,300 was chosen: of all saved steps it had the lowest KID" in text
            ) == said


def test_known_counterparts_are_scored(run_dir: Path, tmp_path: Path) -> None:
    # The one data set with known counterparts; a cache that looks filled saves rendering it.
    rendered = tmp_path / "cache" / f"emoji-128px-v{emoji._RECIPE}"
    for seed, split in enumerate(("trainA", "trainB", "testA", "testB")):
        write_domain(rendered / split, ["1f600.png", "1f601.png"], seed=10 * seed)
    config = load_config(run_dir / "config.json")
    config.data.source, config.data.cache_dir = "emoji", str(tmp_path / "cache")
    save_config(config, run_dir / "config.json")

    report, folder = evaluate_run(run_dir)
    a = [noise(16, 16, 3, seed=20 + i).astype(float) for i in range(2)]
    b = [noise(16, 16, 3, seed=30 + i).astype(float) for i in range(2)]
    for direction, inputs, truths in (("a2b", a, b), ("b2a", b, a)):
        files = [folder / direction / name for name in ("1f600.png", "1f601.png")]
        translations = [np.asarray(Image.open(file)) for file in files]
        for row, pictures in (("translated", translations), ("untranslated", inputs)):
            pairs = list(zip(pictures, truths, strict=True))
            l1s = [np.abs(x - y).mean() / 255 for x, y in pairs]
            ssims = [ssim_by_tensorflow(x, y) for x, y in pairs]
            scores = report["directions"][direction]["rows"][row]["to_counterpart"]
            assert scores["l1"] == pytest.approx(np.mean(l1s))
            assert scores["ssim"] == pytest.approx(np.mean(ssims), abs=1e-4)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("true counterpart</figcaption>") == 4

    (rendered / "testB" / "1f600.png").rename(rendered / "testB" / "1f602.png")
    report, folder = evaluate_run(run_dir)
    for scores in report["directions"].values():
        assert "to_input" in scores["rows"]["translated"]
        assert not any("to_counterpart" in row for row in scores["rows"].values())
    said = (folder / "report.md").read_text(encoding="utf-8")
    assert "with the true counterparts, as names do not tell pairs: 1 of 2 have no partner" in said


def test_a_report_of_something_else_is_not_overwritten(run_dir: Path, tmp_path: Path) -> None:
    first, _ = evaluate_run(run_dir)
    again, _ = evaluate_run(run_dir)
    assert again == first
    other = tmp_path / "other"
    for split in ("trainA", "trainB", "testA", "testB"):
        write_domain(other / split, ["a.png", "b.png"], seed=90)
    with pytest.raises(InputError, match=r"report\.json is a report of other data: say another"):
        evaluate_run(run_dir, data=str(other))
    report, _ = evaluate_run(run_dir, data=str(other), out=tmp_path / "elsewhere")
    assert report["data"] == str(other)
    evaluate_run(run_dir, data=str(other), overwrite=True)
    kept = json.loads((run_dir / "evaluation" / "1200" / "report.json").read_text())
    assert kept["data"] == str(other)


def test_one_domain_of_test_pictures_is_translated_all_the_same(run_dir: Path) -> None:
    data = Path(load_config(run_dir / "config.json").data.source)
    (data / "testB").rename(data / "no testB")
    report, folder = evaluate_run(run_dir)
    assert list(report["directions"]) == ["a2b"]
    assert report["directions"]["a2b"]["rows"]["translated"]["kid_x100"] is None
    assert (folder / "a2b" / "x" / "two.png").exists()


def test_a_run_without_test_pictures_cannot_be_evaluated(run_dir: Path) -> None:
    data = Path(load_config(run_dir / "config.json").data.source)
    for split in ("testA", "testB"):
        (data / split).rename(data / f"no {split}")
    with pytest.raises(InputError, match="no test pictures in"):
        evaluate_run(run_dir)
    with pytest.raises(InputError, match="--limit 0 leaves no pictures"):
        evaluate_run(run_dir, limit=0)


def test_folders_of_any_program_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fake = write_domain(Path("fake"), ["a.png", "c.png", "x/b.png"])
    real = write_domain(Path("real"), ["1.jpg", "2.jpg"], seed=20)
    write_domain(Path("before"), ["a.jpg", "c.jpg", "x/b.jpg", "z.jpg"], seed=40)
    assert main(["fake", "real", "before"]) == 0
    report = json.loads(Path("evaluation/fake/report.json").read_text())
    assert "# fake against real" in capsys.readouterr().out
    scores = report["directions"]["translated"]
    assert list(scores["rows"]) == ["translated", "untranslated", "target_half"]
    assert scores["rows"]["untranslated"]["pictures"] == 3  # z was not translated
    features = [open_extractor()(map(x.load, range(len(x)))) for x in (fake, real)]
    assert scores["rows"]["translated"]["kid_x100"]["mean"] == pytest.approx(
        100 * kid(*features).mean, rel=1e-4
    )
    names = {picture["name"]: picture for picture in scores["per_picture"]}
    for name, before in (("a.png", "a.jpg"), ("x/b.png", "x/b.jpg")):
        pair = (np.asarray(Image.open(x)) for x in (Path("fake", name), Path("before", before)))
        assert names[name]["ssim_to_input"] == pytest.approx(ssim_by_tensorflow(*pair), abs=1e-4)

    report, folder = evaluate_folders(Path("fake"), Path("real"), out=Path("two"))
    assert (
        folder == Path("two") and "untranslated" not in report["directions"]["translated"]["rows"]
    )


def test_pictures_of_other_names_are_no_pairs(tmp_path: Path) -> None:
    for i in range(4):
        for folder, name in (("fake", f"fake_{i}.png"), ("before", f"{3 - i}.png")):
            write_domain(tmp_path / folder, [name], seed=i)
    folders = [tmp_path / name for name in ("fake", "before", "before")]
    report, written = evaluate_folders(*folders, out=tmp_path / "report")
    scores = report["directions"]["translated"]
    assert scores["rows"]["untranslated"]["pictures"] == 4
    assert not any("to_input" in row for row in scores["rows"].values())
    page = (written / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 4 and ">input<" not in page
    said = "Not compared one by one with the source, as names do not tell pairs: 4 of 4 have no"
    for file in ("index.html", "report.md"):
        assert said in (written / file).read_text(encoding="utf-8")
    for i in range(4):
        (tmp_path / "before" / f"{3 - i}.png").rename(tmp_path / "before" / f"fake_{i}.png")
    report, _ = evaluate_folders(*folders, out=tmp_path / "report")
    to_input = report["directions"]["translated"]["rows"]["translated"]["to_input"]
    assert to_input == pytest.approx(
        {"ssim": 1, "l1": 0, "delta_e": 0, "feature_distance": 0}, abs=1e-5
    )


def test_the_page_holds_one_row_of_pictures_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("fake", 0), ("real", 20)):
        write_domain(tmp_path / name, NAMES, seed=seed)
    loaded: list[weakref.ref[np.ndarray]] = []
    load = Domain.load

    def load_and_note(domain: Domain, i: int) -> np.ndarray:
        loaded.append(weakref.ref(picture := load(domain, i)))
        return picture

    def write(path: Path, title: str, sections: dict[str, GallerySection], *_: object) -> None:
        for section in sections.values():
            for row in section.rows:
                assert sum(picture() is not None for picture in loaded) <= 2 * len(row.pictures)

    monkeypatch.setattr(Domain, "load", load_and_note)
    monkeypatch.setattr(presentation, "write_gallery", write)
    fake, real = tmp_path / "fake", tmp_path / "real"
    evaluate_folders(fake, real, fake, out=tmp_path / "report")
    assert len(loaded) > 30


def test_what_lies_beside_translations_is_not_scored(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_domain(Path("photos"), NAMES[:4])
    argv = [str(run_dir), "photos", "--out=out", "--fit=stretch", "--attention", "--cycle"]
    monkeypatch.setattr(attention_maps, "DiscriminatorAttention", NoDiscriminators)
    assert translating.main(argv) == 0
    assert len([*Path("out").rglob("*.png")]) == 12
    report, folder = evaluate_folders(Path("out"), Path("photos"), Path("photos"))
    assert report["scored"]["translated"] == {"scored": 4, "found": 12}
    scores = report["directions"]["translated"]
    assert scores["rows"]["translated"]["pictures"] == 4
    assert sorted(picture["name"] for picture in scores["per_picture"]) == sorted(NAMES[:4])
    assert "Scored: translated 4 of 12 found, target all 4, source all 4." in (
        folder / "report.md"
    ).read_text(encoding="utf-8")


def test_several_runs_are_for_compare(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(run_dir), str(run_dir)])
    assert "python -m ugatit_jax.compare RUN_DIR" in capsys.readouterr().err


def test_only_the_held_out_pictures_are_scored_if_asked(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="held no test pictures out"):
        evaluate_run(run_dir, held_out=True)
    config = load_config(run_dir / "config.json")
    config.eval.held_out = 0.6
    save_config(config, run_dir / "config.json")
    domain = write_domain(tmp_path / "data" / "testA", NAMES)
    held = domain.held_out(0.6)[1].names
    assert 1 < len(held) < len(NAMES)
    report, folder = evaluate_run(run_dir, features="efficientnet-lite0", held_out=True)
    assert report["scored"]["test A"] == {"scored": len(held), "found": len(NAMES)}
    found = sorted(x.relative_to(folder / "a2b").as_posix() for x in folder.glob("a2b/**/*.png"))
    assert found == sorted(held)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fake", "nowhere"], "no folder nowhere"),
        (["fake", "empty"], "no pictures in empty: it needs"),
        (["fake", "real", "real", "real"], "4 folders; give RUN_DIR, or TRANSLATED TARGET"),
        (["fake", "real", "--step", "best"], "--step is for a run, and these are folders"),
        (["fake", "real", "--features", "vgg"], "no features 'vgg': name efficientnet-lite0"),
        (["fake"], "no run in fake: it holds a.png, b.png, and no folder"),
        (["fake", "real", "--out", "fake/a.png"], "cannot write into fake/a.png"),
    ],
)
def test_mistakes_end_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("fake", "real"):
        write_domain(Path(folder), ["a.png", "b.png"])
    Path("empty").mkdir()
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err.splitlines()
    assert message in error[-1], error
