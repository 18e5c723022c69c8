"""Sample grids: the same few test pictures, translated again and again."""

import dataclasses
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ugatit_jax.data import datasets
from ugatit_jax.inference.mapped import MappedTranslation
from ugatit_jax.methods.directions import BACK
from ugatit_jax.methods.method import Method, Params
from ugatit_jax.viewing import visualize


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

    def grid(self, groups: Params, step: int) -> np.ndarray:
        """Return the sample grid, uint8 [H, W, 3], of the translating groups."""
        method = self._method

        def translate(pictures: np.ndarray, way: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            weights = method.select(groups, way)
            translated, looks = zip(
                *self._translation.of_items(weights, pictures, way), strict=True
            )
            stacked = {name: np.stack([each[name] for each in looks]) for name in method.looks}
            return np.stack(translated), stacked

        sections = {}
        for way in method.directions:
            real, back = self._real[way], BACK[way]
            pictures, looks = translate(real, way)
            columns: list[tuple[str, Any]] = [("input", real)]
            columns += [(name, (real, look)) for name, look in looks.items()]
            columns.append(("translation", pictures))
            if back in method.directions:
                cycle, looks = translate(pictures, back)
                columns += [(name, (pictures, look)) for name, look in looks.items()]
                columns += [("cycle", cycle), ("identity", translate(real, back)[0])]
            sections[way] = columns
        return visualize.sample_grid(sections, step)
