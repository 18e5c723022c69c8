"""Sample grids: the same few test pictures, translated again and again."""

import dataclasses
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.data import datasets, images
from ugatit_jax.inference.mapped import MappedTranslation, draw_style
from ugatit_jax.methods.directions import BACK
from ugatit_jax.methods.method import Method, Params
from ugatit_jax.training.watchdog import Pair
from ugatit_jax.viewing import visualize

STYLES = 3  # columns of translations, with a method that has styles


class Sampler:
    """Translates the same few test pictures again and again, to see how the run gets on."""

    def __init__(
        self,
        options: ConfigDict,
        method: Method,
        dataset: datasets.Dataset,
        translation: MappedTranslation,
    ) -> None:
        """`options` is the config's section `samples`."""
        self._every, self._method, self._translation = options.every, method, translation
        # Pictures that it trains on say less, but a data set without test pictures has no others.
        pair = (dataset.test_a, dataset.test_b)
        domain_a, domain_b = pair if all(pair) else (dataset.train_a, dataset.train_b)
        count = min(options.count, len(domain_a), len(domain_b))
        self._real = {
            "a2b": self._spread(domain_a, count),
            "b2a": self._spread(domain_b, count),
        }

    def _spread(self, domain: datasets.Domain, count: int) -> np.ndarray:
        domain = dataclasses.replace(domain, size=self._method.image_size)
        indices = [i * len(domain) // count for i in range(count)]
        return np.stack([domain.load(i) for i in indices])

    def is_due(self, step: int, last: bool) -> bool:
        """Say whether `samples.every` asks for a grid after this, maybe the last, step."""
        return self._every > 0 and (last or step % self._every == 0)

    def grid(self, groups: Params, step: int) -> tuple[np.ndarray, dict[str, Pair]]:
        """Return the sample grid, uint8 [H, W, 3], of the translating groups.

        And of what it shows the inputs and their (first) translations by direction, [N, h, w, 3] in
        [-1, 1]. With a method that has styles, each column of translations is in one of a few that
        stay the same over the training.
        """
        sections = {way: self._columns(groups, way) for way in self._method.directions}
        title, _ = self._styles()[0]
        pairs = {
            way: (images.to_float(self._real[way]), dict(columns)[title])
            for way, columns in sections.items()
        }
        return visualize.sample_grid(sections, step), pairs

    def _columns(self, groups: Params, way: str) -> list[tuple[str, Any]]:
        method, real, back = self._method, self._real[way], BACK[way]
        weights = method.select(groups, way)
        columns: list[tuple[str, Any]] = [("input", real)]
        translated = []
        for title, style in self._styles():
            pictures, looks = self._translate(weights, real, way, [style] * len(real))
            columns += [(name, (real, look)) for name, look in looks.items()]
            columns.append((title, pictures))
            translated.append((pictures, style))
        if back not in method.directions:
            return columns
        weights, (pictures, style) = method.select(groups, back), translated[0]
        styles = [style] * len(real)
        if method.encodes_styles:  # back to what it was, in its own style
            styles = [*self._translation.styles_of_items(weights, real, back)]
        cycle, looks = self._translate(weights, pictures, back, styles)
        columns += [(name, (pictures, look)) for name, look in looks.items()]
        identity, _ = self._translate(weights, real, back, styles)
        return [*columns, ("cycle", cycle), ("identity", identity)]

    def _styles(self) -> list[tuple[str, np.ndarray]]:
        """The titles and styles of the columns of translations: those of `translate --styles`."""
        if not self._method.style_size:
            return [("translation", draw_style(self._method, 0, 0))]
        return [
            (f"style {number}", draw_style(self._method, 0, number))
            for number in range(1, STYLES + 1)
        ]

    def _translate(
        self, weights: Any, pictures: np.ndarray, way: str, styles: list[np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        items = self._translation.of_items(weights, pictures, way, styles)
        translated, looks = zip(*items, strict=True)
        stacked = {name: np.stack([each[name] for each in looks]) for name in self._method.looks}
        return np.stack(translated), stacked
