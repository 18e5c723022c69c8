"""The rows of a report against torch-fidelity, and its tables."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist  # type: ignore[import-untyped]
from similarity import noise, ssim_by_tensorflow

from benchmarks.peers.fidelity import torch_fidelity
from ugatit_jax.data.datasets import Domain
from ugatit_jax.evaluation.report import about, notes, tables
from ugatit_jax.evaluation.scores import PictureSet, order, score
from ugatit_jax.metrics.kid import block_kid
from ugatit_jax.metrics.similarity import colour_difference
from ugatit_jax.viewing.tables import markdown

FEATURES = {
    "extractor": "efficientnet-lite0",
    "dimension": 6,
    "sha256": "0123456789abcdef",
    "preprocessing": "none",
}


def notes_on(scores: dict, features: dict[str, object] = FEATURES) -> str:
    return "\n".join(notes({"directions": {"a2b": scores}, "features": features}))


def picture_set(folder: Path, count: int, seed: int, shift: float = 0) -> PictureSet:
    """Pictures of 16 px and features of 6 numbers that have nothing to do with them."""
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(noise(16, 16, 3, seed=100 * seed + i)).save(folder / f"{i}.png")
    names = [f"{i}.png" for i in range(count)]
    features = np.random.default_rng(seed).gamma(1, size=(count, 6)) + shift
    return PictureSet(Domain(names, [folder / name for name in names]), features.astype(np.float32))


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, PictureSet]:
    return {
        "translated": picture_set(tmp_path / "translated", 24, 1, shift=0.5),
        "target": picture_set(tmp_path / "target", 30, 2),
        "source": picture_set(tmp_path / "source", 24, 3, shift=1),
        "counterpart": picture_set(tmp_path / "counterpart", 24, 4),
    }


def kid_by_torch_fidelity(x: np.ndarray, y: np.ndarray, subset_size: int) -> dict[str, float]:
    x, y = (torch.from_numpy(z.astype(np.float64)) for z in (x, y))
    return torch_fidelity.metric_kid.kid_features_to_metric(
        x, y, kid_subsets=100, kid_subset_size=subset_size, rng_seed=2020, verbose=False
    )


def fid_by_torch_fidelity(x: np.ndarray, y: np.ndarray) -> float:
    by = torch_fidelity.metric_fid
    x, y = (by.fid_features_to_statistics(torch.from_numpy(z.astype(np.float64))) for z in (x, y))
    return by.fid_statistics_to_metric(x, y, verbose=False)["frechet_inception_distance"]


def test_rows_have_the_scores_of_torch_fidelity(sets: dict[str, PictureSet]) -> None:
    rows = score(sets["translated"], sets["target"], sets["source"])["rows"]
    assert list(rows) == ["translated", "untranslated", "target_half"]
    target = sets["target"].features
    for row, of in (("translated", "translated"), ("untranslated", "source")):
        features = sets[of].features
        theirs = kid_by_torch_fidelity(features, target, 12)
        ours = rows[row]["kid_x100"]
        assert ours["mean"] == pytest.approx(100 * theirs["kernel_inception_distance_mean"])
        assert ours["std_over_subsets"] == pytest.approx(
            100 * theirs["kernel_inception_distance_std"]
        )
        assert (ours["subsets"], ours["subset_size"]) == (100, 12)
        assert rows[row]["fid"] == pytest.approx(fid_by_torch_fidelity(features, target))
        assert (rows[row]["pictures"], rows[row]["target_pictures"]) == (24, 30)
    assert (rows["target_half"]["pictures"], rows["target_half"]["target_pictures"]) == (15, 15)
    assert abs(rows["target_half"]["kid_x100"]["mean"]) < rows["untranslated"]["kid_x100"]["mean"]


def test_mean_kids_weigh_the_two_distances(sets: dict[str, PictureSet]) -> None:
    row = score(sets["translated"], sets["target"], sets["source"])["rows"]["translated"]
    features = sets["translated"].features
    to_target, to_source = (block_kid(features, sets[x].features) for x in ("target", "source"))
    assert row["mean_kid_x100"]["mean"] == pytest.approx(50 * (to_target.mean + to_source.mean))
    assert row["weighted_mean_kid_x100"]["mean"] == pytest.approx(
        1 * to_target.mean + 49 * to_source.mean
    )


def test_pictures_are_compared_with_their_inputs_and_counterparts(
    sets: dict[str, PictureSet],
) -> None:
    scores = score(**sets, paired=True)

    def likeness(x: str, y: str) -> dict[str, list[float]]:
        indices = range(24)
        a, b = ([sets[z].pictures.load(i) for i in indices] for z in (x, y))
        f, g = (sets[z].features.astype(np.float64) for z in (x, y))
        cosine = (f * g).sum(1) / np.linalg.norm(f, axis=1) / np.linalg.norm(g, axis=1)
        return {
            "feature_distance": list(1 - cosine),
            "ssim": [ssim_by_tensorflow(a[i], b[i]) for i in indices],
            "l1": [np.abs(a[i].astype(float) - b[i]).mean() / 255 for i in indices],
            "delta_e": [colour_difference(a[i], b[i]) for i in indices],
        }

    for row, what, x, y in (
        ("translated", "to_input", "translated", "source"),
        ("translated", "to_counterpart", "translated", "counterpart"),
        ("untranslated", "to_counterpart", "source", "counterpart"),
    ):
        for name, expected in likeness(x, y).items():
            found = scores["rows"][row][what][name]
            assert found == pytest.approx(np.mean(expected), abs=1e-4), (row, what, name)
            if row == "translated":
                each = [picture[f"{name}_{what}"] for picture in scores["per_picture"]]
                assert each == pytest.approx(expected, abs=1e-4)
    ranking, distance = order(scores)
    by_distance = [scores["per_picture"][i][distance] for i in ranking]
    assert distance == "feature_distance_to_counterpart"
    assert by_distance == sorted(by_distance) and len(by_distance) == 24


def test_without_pairs_only_sets_are_compared(sets: dict[str, PictureSet]) -> None:
    scores = score(sets["translated"], sets["target"], sets["source"])
    assert scores["rows"]["translated"]["mean_kid_x100"] is not None
    assert not any("to_input" in row for row in scores["rows"].values())
    assert set(scores["per_picture"][0]) == {"name", "feature_distance_to_nearest_target"}


def test_without_source_only_the_target_is_known(
    sets: dict[str, PictureSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugatit_jax.evaluation.scores.BLOCK", 5)
    scores = score(sets["translated"], sets["target"])
    nearest = cdist(sets["translated"].features, sets["target"].features, "cosine").min(axis=1)
    found = [x["feature_distance_to_nearest_target"] for x in scores["per_picture"]]
    np.testing.assert_allclose(found, nearest, atol=1e-6)
    assert list(scores["rows"]) == ["translated", "target_half"]
    row = scores["rows"]["translated"]
    assert row["mean_kid_x100"] is None and "to_input" not in row
    ranking, distance = order(scores)
    assert distance == "feature_distance_to_nearest_target" and sorted(ranking) == [*range(24)]
    assert "Mean KID" not in notes_on(scores)


@pytest.mark.parametrize(("translated", "target"), [(1, 5), (5, 1), (0, 5), (5, 0)])
def test_too_few_pictures_have_no_scores(tmp_path: Path, translated: int, target: int) -> None:
    sets = [
        picture_set(tmp_path / str(i), count, i)
        for i, count in enumerate((translated, target, translated))
    ]
    scores = score(*sets)
    row = scores["rows"]["translated"]
    assert row["kid_x100"] is None and row["fid"] is None and row["mean_kid_x100"] is None
    assert len(scores["per_picture"]) == translated
    assert tables(scores)[0][1][2:6] == ["–"] * 4
    assert "Mean KID" not in notes_on(scores)


def test_domains_of_too_different_numbers_have_no_blocks(tmp_path: Path) -> None:
    # Three blocks, for 25 pictures; the 5 sources cannot fill them by twos.
    sets = [picture_set(tmp_path / str(i), count, i) for i, count in enumerate((5, 25, 5))]
    row = score(*sets)["rows"]["translated"]
    assert row["kid_x100"]["subset_size"] == 2 and row["mean_kid_x100"] is None


def test_other_sizes_are_fitted_before_they_are_compared(tmp_path: Path) -> None:
    translated, source = (picture_set(tmp_path / name, 2, 1) for name in ("x", "y"))
    big = source.pictures.load(0).repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(big).save(tmp_path / "y" / "0.png")
    likeness = score(translated, translated, source, paired=True)["rows"]["translated"]["to_input"]
    assert likeness["ssim"] > 0.7  # of noise: halved by a filter that blurs a little


def test_tables_are_markdown_that_lines_up(sets: dict[str, PictureSet]) -> None:
    of_sets, of_counterparts = tables(score(**sets, paired=True))
    lines = markdown(of_sets).splitlines()
    assert len(lines) == 5 and len(set(map(len, lines))) == 1
    assert lines[2].startswith("| translated         | 24 to 30 |")
    assert lines[1].startswith("| ---") and lines[1].count("-:") == 7
    assert [line[0] for line in of_counterparts[1:]] == ["translated", "untranslated input"]


def test_notes_say_what_does_not_compare(sets: dict[str, PictureSet]) -> None:
    scores = score(**sets, paired=True)
    text = notes_on(scores)
    assert "01234567…" in text and "efficientnet-lite0" in text
    assert "100 subsets of 7 or 12 pictures" in text
    assert "under 2,048" in text and "some row has 15" in text
    assert "figures are of Inception's features, not these" in text
    assert "not these" not in notes_on(scores, FEATURES | {"extractor": "inception-v3"})


def test_a_report_says_what_the_losses_of_a_training_looked_at() -> None:
    network = {"network": "VGG16", "layer": "conv4_3", "sha256": "0123456789" * 6}
    report = {"step": 7, "fixed": {"content": network}, "data": "x", "scored": {}}
    assert about(report)[1] == (
        "Trained with VGG16's conv4_3 for content, weights sha256 01234567…."
    )
    assert len(about(report)) == len(about(report | {"fixed": {}})) + 1
