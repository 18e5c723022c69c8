"""KID to the target over a training: measured now and then, kept in kid.json, drawn in kid.png."""

import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import jax
import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Dataset, Domain
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.inference.mapped import MappedTranslation
from ugatit_jax.methods.method import Method, Params
from ugatit_jax.metrics.features import FeatureExtractor, open_extractor
from ugatit_jax.metrics.kid import halves, kid
from ugatit_jax.runs.identity import Identity
from ugatit_jax.training.log import say
from ugatit_jax.viewing.plots import plot_kids


class KidCurve:
    """Translates the test pictures and scores them against the other domain's.

    The run directory keeps the points, for a resumed run to go on with. With several processes all
    take part, and the first one writes.
    """

    @classmethod
    def open(
        cls,
        options: ConfigDict,
        data: ConfigDict,
        method: Method,
        dataset: Dataset,
        workdir: AnyPath,
        was: Identity | None,
    ) -> Self | None:
        """Return the curve of a run, or None if there can be or shall be none.

        options, data: the config's sections `eval` and `data`. was: what the run was before, whose
        features 'auto' keeps.
        """
        if not options.every:
            return None
        domains = {
            name: domain.held_out(options.held_out)[0]
            for name, domain in (("a", dataset.test_a), ("b", dataset.test_b))
        }
        if min(map(len, domains.values())) < 2:
            say("no KID while training: it takes 2 test pictures of each domain")
            return None
        pictures = {
            name: dataclasses.replace(domain.first(options.pictures), size=method.image_size)
            for name, domain in domains.items()
        }
        features = options.features
        if features == "auto" and was and was.features:
            features = was.features["extractor"].replace("inception-v3", "inception")
        return cls(
            options.every, method, pictures, open_extractor(features, data.cache_dir), workdir
        )

    def __init__(
        self,
        every: int,
        method: Method,
        pictures: dict[str, Domain],
        extractor: FeatureExtractor,
        workdir: AnyPath,
    ) -> None:
        """`every` so many steps there is a point; `pictures` are those of each domain."""
        self._every, self._method, self._workdir = every, method, workdir
        self._pictures, self._extractor = pictures, extractor
        self.features = {"extractor": extractor.name, "sha256": extractor.sha256}
        self._protocol = {
            "features": self.features,
            "pictures": {name: len(domain) for name, domain in pictures.items()},
        }
        self._points = _read_points(workdir / "kid.json", self._protocol, method.directions)

    def is_due(self, step: int, steps: int, stopped: bool) -> bool:
        """Say whether there is a point after this step of `steps`; the last one has one.

        Whoever stops a run waits for none before that: it is measured when the run goes on.
        """
        return step == steps or (step % self._every == 0 and not stopped)

    def forget_after(self, step: int) -> None:
        """Forget the points past the step that a run goes on from; it may come by without them."""
        self._points = [point for point in self._points if point["step"] <= step]

    def is_missing(self, step: int) -> bool:
        """Say whether a run that goes on from this step owes its point, as one that was stopped."""
        points = {point["step"] for point in self._points}
        return step > 0 and step % self._every == 0 and step not in points

    def measure(
        self, translation: MappedTranslation, groups: Params, step: int
    ) -> dict[str, float]:
        """Return KID to the target by direction, {'a2b', 'b2a'}, of the translating groups.

        Adds them to kid.json and kid.png.
        """
        scores = {}
        for way in self._method.directions:
            source, target = way[0], way[-1]
            weights = self._method.select(groups, way)
            loaded = self._loaded(source)
            translated = (images.to_uint8(x) for x, _ in translation.of_items(weights, loaded, way))
            found = self._extractor(translated, len(self._pictures[source]))
            scores[way] = kid(found, self._real[target])
        point = {"step": step, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        point |= {name: dataclasses.asdict(x) for name, x in scores.items()}
        self._points = [p for p in self._points if p["step"] < step] + [point]
        if jax.process_index() == 0:
            kept = self._protocol | self._references | {"points": self._points}
            write_atomically(self._workdir / "kid.json", json.dumps(kept, indent=2) + "\n")
            directions, name = self._method.directions, self._extractor.name
            picture = plot_kids(self._points, directions, name, **self._references)
            write_atomically(self._workdir / "kid.png", picture)
        return {direction: score.mean for direction, score in scores.items()}

    @functools.cached_property
    def _references(self) -> dict[str, Any]:
        """What tells whether a KID is any good, by direction: pictures as they are, and the best.

        'untranslated', of the source pictures; 'target_half', of one half of the target pictures to
        the other, where there are four.
        """
        ways = self._method.directions
        found = {
            "untranslated": {way: kid(self._real[way[0]], self._real[way[-1]]).mean for way in ways}
        }
        halved = {way: halves(self._real[way[-1]]) for way in ways}
        if min(len(half) for both in halved.values() for half in both) > 1:
            found["target_half"] = {way: kid(*halved[way]).mean for way in ways}
        return found

    def _loaded(self, name: str) -> Iterator[np.ndarray]:
        domain = self._pictures[name]
        return map(domain.load, range(len(domain)))

    @functools.cached_property
    def _real(self) -> dict[str, Any]:
        return {
            name: self._extractor(self._loaded(name), len(domain))
            for name, domain in self._pictures.items()
        }


def _read_points(
    path: AnyPath, protocol: dict[str, Any], directions: Sequence[str]
) -> list[dict[str, Any]]:
    """The points there are.

    Raises `InputError` if they are of other pictures or features, or are none.
    """
    if not path.exists():
        return []
    try:
        kept = read_object(path)
        for name, now in protocol.items():
            if kept[name] != now:
                raise InputError(
                    f"{path} was measured with {name} {kept[name]}, and this would be with {now}, "
                    "which do not compare: take what it had (see config.eval), or move the file"
                )
        for point in kept["points"]:
            numbers = [point[way][what] for way in directions for what in ("mean", "std")]
            if type(point["step"]) is not int or not all(map(_is_number, numbers)):
                raise ValueError(f"a point is {point!r}")
        return list(kept["points"])
    except InputError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"cannot read {path} ({in_a_line(repr(error))}): move it away") from None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9 and math.isfinite(value)
