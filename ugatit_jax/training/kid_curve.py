"""KID to the target over a training: measured now and then, kept in kid.json, drawn in kid.png."""

import dataclasses
import functools
import io
import json
from typing import Any, Self

import jax
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.datasets import Dataset, Domain
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.devices import sharding
from ugatit_jax.methods.ugatit import translate
from ugatit_jax.metrics.features import FeatureExtractor, open_extractor
from ugatit_jax.metrics.kid import kid
from ugatit_jax.models import build_generator
from ugatit_jax.viewing.visualize import DIRECTION_TITLES

BATCH = 8  # pictures per call of the generator


class KidCurve:
    """Translates the test pictures, both ways, and scores them against the other domain's.

    The run directory keeps the points, for a resumed run to go on with. With several processes all
    take part, and the first one writes.
    """

    @classmethod
    def open(
        cls, config: ConfigDict, dataset: Dataset, workdir: AnyPath, start: int
    ) -> Self | None:
        """Return the curve of a run up to step `start`, or None if there can be or shall be none.

        Raises `InputError` if the points that the run has are of other pictures or features.
        """
        if not config.eval.every:
            return None
        domains = {"a": dataset.test_a, "b": dataset.test_b}
        if min(map(len, domains.values())) < 2:
            if jax.process_index() == 0:
                print("no KID while training: it takes 2 test pictures of each domain", flush=True)
            return None
        pictures = {
            name: dataclasses.replace(
                domain.first(config.eval.pictures), size=tuple(config.data.image_size)
            )
            for name, domain in domains.items()
        }
        extractor = open_extractor(config.eval.features, config.data.cache_dir)
        return cls(config, pictures, extractor, workdir, start)

    def __init__(
        self,
        config: ConfigDict,
        pictures: dict[str, Domain],
        extractor: FeatureExtractor,
        workdir: AnyPath,
        start: int,
    ) -> None:
        self._config, self._pictures, self._extractor = config, pictures, extractor
        self._workdir = workdir
        self._protocol = {
            "features": {"extractor": extractor.name, "sha256": extractor.sha256},
            "pictures": {name: len(domain) for name, domain in pictures.items()},
        }
        self._points = _read_points(workdir / "kid.json", self._protocol, start)
        self._mesh = sharding.training_mesh(config)
        generator = build_generator(config, split_over="model")

        def apply(params: Any, batch: jax.Array) -> jax.Array:
            return translate(generator, params, images.to_float(batch)).image

        self._apply = sharding.map_over_devices(apply, self._mesh)

    def is_due(self, step: int) -> bool:
        """Say whether `eval.every` asks for a point after this step; the last one has one."""
        return step % self._config.eval.every == 0 or step == self._config.train.steps

    def measure(self, params: Any, step: int) -> dict[str, float]:
        """Return KID to the target by direction, {'a2b', 'b2a'}, of generators {'a2b', 'b2a'}.

        Adds them to kid.json and kid.png.
        """
        scores = {
            direction: kid(self._translated(params[direction], source), self._real[target])
            for direction, source, target in (("a2b", "a", "b"), ("b2a", "b", "a"))
        }
        point = {"step": step} | {name: dataclasses.asdict(x) for name, x in scores.items()}
        self._points = [p for p in self._points if p["step"] < step] + [point]
        if jax.process_index() == 0:
            kept = self._protocol | {"points": self._points}
            write_atomically(self._workdir / "kid.json", json.dumps(kept, indent=2) + "\n")
            picture = plot(self._points, self._extractor.name)
            write_atomically(self._workdir / "kid.png", picture)
        return {direction: score.mean for direction, score in scores.items()}

    @functools.cached_property
    def _real(self) -> dict[str, Any]:
        return {
            name: self._extractor(map(domain.load, range(len(domain))), len(domain))
            for name, domain in self._pictures.items()
        }

    def _translated(self, params: Any, source: str) -> Any:
        domain = self._pictures[source]
        loaded = map(domain.load, range(len(domain)))
        results = sharding.map_in_batches(self._apply, params, loaded, BATCH, self._mesh)
        return self._extractor(map(images.to_uint8, results), len(domain))


def _read_points(path: AnyPath, protocol: dict[str, Any], start: int) -> list[dict[str, Any]]:
    """The points up to step `start`: what came later is lost, and will come again."""
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text())
        for name, now in protocol.items():
            if kept[name] != now:
                raise InputError(
                    f"{path} was measured with {name} {kept[name]}, and this would be with {now}, "
                    "which do not compare: take what it had (see config.eval), or move the file"
                )
        return [point for point in kept["points"] if point["step"] <= start]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"cannot read {path} ({error!r}): move it away") from None


def plot(points: list[dict[str, Any]], extractor: str) -> bytes:
    """Draw KID×100 of both directions over the steps, with the best step marked, as a PNG file."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps = [point["step"] for point in points]
    for direction, title in DIRECTION_TITLES.items():
        means, stds = (
            [100 * point[direction][what] for point in points] for what in ("mean", "std")
        )
        (line,) = axes.plot(steps, means, marker="o", markersize=3, label=title)
        low, high = ([m + sign * s for m, s in zip(means, stds, strict=True)] for sign in (-1, 1))
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    best = min(points, key=lambda point: point["a2b"]["mean"] + point["b2a"]["mean"])["step"]
    axes.axvline(best, color="grey", linestyle=":", label=f"best, step {best:,}")
    subsets = "{subsets} subsets of {subset_size:,}".format(**points[-1]["a2b"])
    axes.set(
        xlabel="step",
        ylabel="KID×100 to the target, lower is better",
        title=f"{extractor} features; ± standard deviation over {subsets}",
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.title.set_fontsize("small")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
