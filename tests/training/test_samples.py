"""Sample grids: which pictures they show, what is made of them, and when."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from steps import first_state

from ugatit_jax.data import datasets, images
from ugatit_jax.devices.sharding import make_mesh
from ugatit_jax.inference.mapped import MappedTranslation
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Params
from ugatit_jax.training.samples import Sampler
from ugatit_jax.viewing import visualize

MakeConfig = Callable[[], ConfigDict]


@pytest.fixture(scope="module")
def translation(tiny_config: MakeConfig) -> MappedTranslation:
    return MappedTranslation(build_method(tiny_config(), mapped=True), make_mesh())


@pytest.fixture(scope="module")
def groups(tiny_config: MakeConfig) -> Params:
    config = tiny_config()
    return first_state(config, make_mesh()).best(build_method(config))


def test_without_test_pictures_samples_are_of_training_pictures(
    tiny_config: MakeConfig, translation: MappedTranslation, groups: Params
) -> None:
    config = tiny_config()
    dataset = datasets.open_dataset(config.data)
    none = datasets.Domain([], [])

    def grid(test_a: datasets.Domain, test_b: datasets.Domain) -> np.ndarray:
        tested = dataclasses.replace(dataset, test_a=test_a, test_b=test_b)
        sampler = Sampler(config.samples, build_method(config), tested, translation)
        return sampler.grid(groups, 0)[0]

    expected = grid(dataset.train_a, dataset.train_b)
    np.testing.assert_array_equal(grid(none, none), expected)
    np.testing.assert_array_equal(grid(dataset.test_a, none), expected)
    assert (grid(dataset.test_a, dataset.test_b) != expected).any()


def test_every_column_is_what_its_title_says(
    tiny_config: MakeConfig,
    translation: MappedTranslation,
    groups: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, seen = tiny_config(), {}
    dataset, method = datasets.open_dataset(config.data), build_method(config)
    sampler = Sampler(config.samples, method, dataset, translation)
    monkeypatch.setattr(visualize, "sample_grid", lambda sections, step: seen.update(sections))
    sampler.grid(groups, 0)
    assert [*seen] == ["a2b", "b2a"]
    for way, back, domain in (("a2b", "b2a", dataset.test_a), ("b2a", "a2b", dataset.test_b)):
        domain = dataclasses.replace(domain, size=tuple(config.data.image_size))
        real = np.stack([domain.load(i) for i in (0, 1)])
        generators = groups["generators"]
        there = method.generate(generators[way], images.to_float(real))
        again = method.generate(generators[back], there.image)
        same = method.generate(generators[back], images.to_float(real))
        expected: list[tuple[str, Any]] = [
            ("input", real),
            ("attention", (real, there.heatmap)),
            ("translation", there.image),
            ("attention", (there.image, again.heatmap)),
            ("cycle", again.image),
            ("identity", same.image),
        ]
        assert [title for title, _ in seen[way]] == [title for title, _ in expected]
        for (title, found), (_, wanted) in zip(seen[way], expected, strict=True):
            pairs = (
                zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]
            )
            for ours, plain in pairs:
                np.testing.assert_allclose(ours, plain, atol=1e-4, err_msg=f"{way} {title}")


@pytest.mark.parametrize(
    ("every", "due"), [(0, []), (1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])]
)
def test_when_grids_are_due(
    tiny_config: MakeConfig, translation: MappedTranslation, every: int, due: list[int]
) -> None:
    config = tiny_config()
    config.samples.every = every
    dataset = datasets.open_dataset(config.data)
    sampler = Sampler(config.samples, build_method(config), dataset, translation)
    assert [step for step in range(1, 6) if sampler.is_due(step, last=step == 5)] == due
