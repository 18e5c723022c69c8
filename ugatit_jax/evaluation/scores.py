"""The scores of a translation.

Three rows, each of a set of pictures against the target domain: the translated pictures; their
untranslated inputs, which any translation has to beat; and one half of the target pictures against
the other half, what a perfect translation would score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Domain
from ugatit_jax.metrics.features import FeatureExtractor
from ugatit_jax.metrics.fid import fid
from ugatit_jax.metrics.kid import halves, kid, mean_kid
from ugatit_jax.metrics.similarity import colour_difference, feature_distance, l1, ssim

Scores = dict[str, Any]  # of one direction, as a report keeps them, ready for JSON

ROWS = {
    "translated": "translated",
    "untranslated": "untranslated input",
    "target_half": "half of the target",
}

BLOCK = 256  # pictures that are compared with all of the target at once


@dataclass(frozen=True)
class PictureSet:
    """Pictures, and their features [N, d]."""

    pictures: Domain
    features: np.ndarray

    @classmethod
    def of(cls, pictures: Domain, extractor: FeatureExtractor, what: str) -> "PictureSet":
        """Take the features of pictures, with a progress bar that says what they are."""
        loaded = map(pictures.load, range(len(pictures)))
        return cls(pictures, extractor(loaded, len(pictures), f"features of {what}"))

    def take(self, indices: Sequence[int]) -> "PictureSet":
        """The pictures at these indices, in their order."""
        return PictureSet(self.pictures.take(indices), self.features[list(indices)])


def score(
    translated: PictureSet,
    target: PictureSet,
    source: PictureSet | None = None,
    counterpart: PictureSet | None = None,
    paired: bool = False,
) -> Scores:
    """Score translated pictures: {'rows': {row: {score: …}}, 'per_picture': [{score: …}]}.

    target: real pictures of the other domain. source: the pictures before translation. paired:
    picture i of `source` became picture i of `translated`, and they are compared one by one.
    counterpart: picture i is the true translation of picture i of a paired `source`. Scores that
    cannot be computed are None.
    """
    before = None if source is None else source.features
    half, other = halves(target.features)
    rows = {
        "translated": _against_target(translated.features, target.features, before),
        "target_half": _against_target(half, other, before),
    }
    columns: dict[str, Sequence[Any]] = {"name": translated.pictures.names}
    if len(target.features):
        columns["feature_distance_to_nearest_target"] = _nearest(
            translated.features, target.features
        )

    def compare(row: str, what: str, x: PictureSet, y: PictureSet) -> None:
        likeness = _likeness(x, y, f"{ROWS[row]} {what.replace('_', ' ')}")
        rows[row][what] = {name: float(np.mean(values)) for name, values in likeness.items()}
        if row == "translated":
            columns.update({f"{name}_{what}": values for name, values in likeness.items()})

    if source is not None:
        rows["untranslated"] = _against_target(source.features, target.features, before)
        if paired and len(translated.pictures):
            compare("translated", "to_input", translated, source)
            if counterpart is not None:
                compare("translated", "to_counterpart", translated, counterpart)
                compare("untranslated", "to_counterpart", source, counterpart)
    return {
        "rows": {row: rows[row] for row in ROWS if row in rows},
        "per_picture": [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ],
    }


def _nearest(features: np.ndarray, target: np.ndarray) -> list[float]:
    """The distance of each picture to the nearest of the target."""
    found: list[float] = []
    for i in range(0, len(features), BLOCK):  # all pairs of large sets take gigabytes
        found += feature_distance(features[i : i + BLOCK], target).min(axis=1).tolist()
    return found


def _against_target(x: np.ndarray, target: np.ndarray, source: np.ndarray | None) -> Scores:
    """The scores of one set of features."""
    scores: Scores = {"pictures": len(x), "target_pictures": len(target)}
    scores |= {"kid_x100": None, "fid": None, "mean_kid_x100": None, "weighted_mean_kid_x100": None}
    if min(len(x), len(target)) < 2:
        return scores
    found = kid(x, target)
    scores["kid_x100"] = {
        "mean": 100 * found.mean,
        "std_over_subsets": 100 * found.std,
        "subsets": found.subsets,
        "subset_size": found.subset_size,
    }
    scores["fid"] = fid(x, target)
    if source is not None:
        try:
            means = mean_kid(x, target, source)
        except InputError:  # a block of a single picture: the two domains differ too much in number
            return scores
        for name, value in (("mean", means.mean_kid), ("weighted_mean", means.weighted_mean_kid)):
            scores[f"{name}_kid_x100"] = {
                "mean": 100 * value.value,
                "standard_error_over_blocks": _finite(100 * value.spread),
            }
    return scores


def _likeness(x: PictureSet, y: PictureSet, description: str) -> dict[str, list[float]]:
    """Compare picture i with picture i, for every i."""
    distances = [
        feature_distance(x.features[i : i + 1], y.features[i : i + 1]).item()
        for i in range(len(x.features))
    ]
    found: dict[str, list[float]] = {"feature_distance": distances}
    measures = {"ssim": ssim, "l1": l1, "delta_e": colour_difference}
    found |= {name: [] for name in measures}
    for i in tqdm(range(len(distances)), description, unit="picture", disable=None):
        picture, other = x.pictures.load(i), y.pictures.load(i)
        if other.shape != picture.shape:  # another program's, of which we only know the results
            other = images.cover_resize(other, picture.shape[:2])
        for name, measure in measures.items():
            found[name].append(measure(picture, other))
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def order(scores: Scores) -> tuple[list[int], str]:
    """The pictures' indices from best to worst, and the name of the distance that says so.

    That to the true counterpart where there is one, else to the nearest picture of the target.
    """
    distances = ("feature_distance_to_counterpart", "feature_distance_to_nearest_target")
    pictures = scores["per_picture"]
    name = next((d for d in distances if pictures and pictures[0].get(d) is not None), "")
    ranking = sorted(range(len(pictures)), key=lambda i: pictures[i][name]) if name else []
    return ranking or list(range(len(pictures))), name
