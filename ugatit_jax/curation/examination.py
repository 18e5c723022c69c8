"""Look at every picture of a folder, once with the eye and once with a network."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from ugatit_jax.console.errors import InputError, TransientError
from ugatit_jax.curation.folders import Folder, Source
from ugatit_jax.curation.marks import Mark, Marks
from ugatit_jax.curation.measures import MEAN, Measures, Summand, measure
from ugatit_jax.data import images

_AHEAD = 256  # pictures that are measured before their turn


@dataclass
class Examination:
    """What was seen: of each good picture, of each domain, and which pictures are broken.

    sources and measures belong together; features, float32 [N, d], are in the same order, and None
    where no network was asked. broken: what is wrong with a picture, by its path. marks and means:
    by domain; a mean is uint8 [64, 64, 3].
    """

    folder: Folder
    size: int
    sources: list[Source] = field(default_factory=list)
    measures: list[Measures] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    means: dict[str, np.ndarray] = field(default_factory=dict)
    features: np.ndarray | None = None
    extractor: str = ""

    def of_domain(self, domain: str) -> list[int]:
        """The indices of a domain's pictures."""
        return [i for i, source in enumerate(self.sources) if source.domain == domain]

    def load(self, name: str) -> np.ndarray:
        """The picture of a path from the folder, uint8 [h, w, 3]."""
        return images.decode(self.folder.root / name)


def examine(folder: Folder, size: int, network: bool) -> Examination:
    """Look at every picture. size: px that are trained at. network: take features, too.

    Raises `TransientError` for a file that may be read later.
    """
    seen = Examination(folder, size)
    _measure_all(seen)
    if network and seen.sources:
        _extract(seen)
    return seen


def _measure_all(seen: Examination) -> None:
    domains = seen.folder.domains()
    marks = {domain: Marks() for domain in domains}
    totals = {domain: np.zeros((MEAN, MEAN, 3)) for domain in domains}
    bar = tqdm(_measured(seen), "Looking at pictures", len(seen.folder.sources), disable=None)
    for source, found in bar:
        if isinstance(found, str):
            seen.broken[source.name] = found
            continue
        measures, summand = found
        seen.sources.append(source)
        seen.measures.append(measures)
        totals[source.domain] += summand.picture
        if not measures.has_border:  # whose edges would be marks
            marks[source.domain].add(summand.structure)
    for domain in domains:
        if count := len(seen.of_domain(domain)):
            seen.means[domain] = np.rint(totals[domain] / count).astype(np.uint8)
        if mark := marks[domain].find():
            seen.marks[domain] = mark


def _measured(seen: Examination) -> Iterator[tuple[Source, tuple[Measures, Summand] | str]]:
    """Every picture's measures, or what is wrong with it."""

    def look(source: Source) -> tuple[Measures, Summand] | str:
        try:
            return measure(seen.load(source.name), seen.size)
        except TransientError:
            raise
        except InputError as error:
            return str(error)

    sources = seen.folder.sources
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(sources), _AHEAD):
            part = sources[start : start + _AHEAD]
            yield from zip(part, pool.map(look, part), strict=True)


def _extract(seen: Examination) -> None:
    # Not above: JAX takes seconds, and is not needed without a network.
    from ugatit_jax.metrics.features import open_extractor

    extractor = open_extractor()
    pictures = (seen.load(source.name) for source in seen.sources)
    seen.features = extractor(pictures, len(seen.sources), "Features of pictures")
    seen.extractor = extractor.name
