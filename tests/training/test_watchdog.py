"""What is said of trainings that go wrong: on real illnesses, and nothing of a healthy run.

`Pocket` is CycleGAN with generators and discriminators of one pixel: seconds for a run. One has
U-GAT-IT's LIN, which learns rho.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from ml_collections import ConfigDict
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from ugatit_jax.config.fields import get_config
from ugatit_jax.methods import METHODS, cyclegan_fields, losses, rho
from ugatit_jax.methods.cyclegan import CycleGAN
from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.normalization import DecoderNorm
from ugatit_jax.training import log as log_module
from ugatit_jax.training.loop import train
from ugatit_jax.training.watchdog import Limits, Recent, Watchdog

MakeConfig = Callable[[], ConfigDict]
GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = {"model.discriminator_layers": 1, "loss.pool": 0, "train.batch_size": 8}
FIELDS = cyclegan_fields.FIELDS | SMALL
SOON = Limits(window=20, start=2)


class Colours(nn.Module):
    """A generator that changes colours alone, and none at first."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)  # noqa: E731
        return jnp.tanh(nn.Dense(3, kernel_init=kernel)(x))


class Pixels(nn.Module):
    """A discriminator that sees pixels alone."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.Dense(1)(nn.relu(nn.Dense(4)(x)))[..., 0]


@dataclass(frozen=True)
class Pocket(CycleGAN):
    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        height, width = config.data.image_size
        return cls(Colours(), Pixels(), config.loss, (height, width))  # type: ignore[arg-type]

    @property
    def dtype(self) -> Any:
        return jnp.float32


class Normalised(nn.Module):
    """A generator with U-GAT-IT's LIN."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return jnp.tanh(DecoderNorm(Conventions())(nn.Dense(3)(x)))


@dataclass(frozen=True)
class Normalising(Pocket):
    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        return dataclasses.replace(super().from_config(config), generator=Normalised())  # type: ignore[arg-type]

    def project(self, group: str, params: Any) -> Any:
        return rho.clip(params) if group == "generators" else params

    def watch(self, params: Any) -> dict[str, float]:
        return rho.describe(params["generators"])


@pytest.fixture
def dark_and_bright(tmp_path: Path) -> Path:
    """Two domains that a glance tells apart; each varies."""
    rng, root = np.random.default_rng(0), tmp_path / "pictures"
    for split, levels in (("trainA", (0, 90)), ("trainB", (165, 256))):
        (root / split).mkdir(parents=True)
        for i in range(8):
            low, high = levels
            colour = rng.integers(low, high - 60, 3)
            picture = colour + rng.integers(0, 60, (16, 16, 3))
            Image.fromarray(picture.astype(np.uint8)).save(root / split / f"{i}.png")
    return root


Warnings = list[tuple[int, str]]


@pytest.fixture
def warnings_of(
    dark_and_bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Warnings]:
    """A function that trains with some fields and returns what was said, by TensorBoard."""
    for name in ("Pocket", "Normalising"):
        monkeypatch.setitem(METHODS, name.lower(), ("test_watchdog", f"test_watchdog:{name}"))
    watchdog_of = Watchdog.of
    monkeypatch.setattr(log_module.Watchdog, "of", lambda method: watchdog_of(method, SOON))

    def warnings(config: ConfigDict | None = None, **fields: Any) -> Warnings:
        config = config or get_config("pocket")
        common = {
            "data.source": str(dark_and_bright),
            "data.image_size": (16, 16),
            "train.steps": 60,
            "log_every": 1,
            "samples.every": 10,
            "eval.every": 0,
            "checkpoint.every": 100,
        }
        config.update_from_flattened_dict(common | fields)
        assert train(config, tmp_path / "run") == config.train.steps
        return read(tmp_path / "run")

    return warnings


def read(workdir: Path) -> Warnings:
    events = EventAccumulator(str(workdir), size_guidance={"tensors": 0}).Reload()
    if "warnings" not in events.Tags()["tensors"]:
        return []
    return [(x.step, x.tensor_proto.string_val[0].decode()) for x in events.Tensors("warnings")]


def test_a_healthy_run_is_told_nothing(warnings_of: Callable[..., Warnings]) -> None:
    assert warnings_of(**{"train.learning_rate": 2e-3}) == []


def test_translations_that_hardly_vary(
    warnings_of: Callable[..., Warnings], capsys: pytest.CaptureFixture[str]
) -> None:
    said = warnings_of(**{"train.learning_rate": 5.0, "loss.cycle": 0.0})
    blank = [text for _, text in said if text.startswith("translations")]
    # Each direction once, though many grids show it.
    assert sorted(text[:16] for text in blank) == ["translations a2b", "translations b2a"]
    assert all("lower config.train.learning_rate" in text for text in blank)
    (step, _), *_ = said
    assert f"step {step}: " in capsys.readouterr().out


def test_discriminators_that_have_won(warnings_of: Callable[..., Warnings]) -> None:
    said = warnings_of(**{"train.learning_rate": 5e-2, "loss.cycle": 1e4, "train.steps": 150})
    won = [(step, text) for step, text in said if text.startswith("discriminators have won")]
    assert len(won) == 1 and won[0][0] > SOON.window and "borders" in won[0][1]


def test_cycles_far_above_their_start(warnings_of: Callable[..., Warnings]) -> None:
    said = warnings_of(**{"train.learning_rate": 0.2, "loss.cycle": 0.0})
    lost = [text for _, text in said if "far above its start" in text]
    assert {text.split(" is ")[0] for text in lost} <= {"generator/cycle/a", "generator/cycle/b"}
    assert lost and all("more weight to the cycle" in text for text in lost)


def test_rho_that_is_stuck(warnings_of: Callable[..., Warnings]) -> None:
    said = warnings_of(get_config("normalising"), **{"train.learning_rate": 30.0})
    stuck = [text for _, text in said if text.startswith("rho is stuck: ")]
    assert len(stuck) == 1 and "Lower config.train.learning_rate" in stuck[0]


# By itself, with numbers.


def test_the_recorded_scalars_of_a_healthy_run_are_told_nothing() -> None:
    # Those of configs/demo.py for 5 000 steps, with width 8, 32 px, and discriminators of 3 and 4
    # layers: every 20 steps.
    with np.load(GOLDEN / "healthy_demo.npz") as recorded:
        steps = recorded["steps"].tolist()
        values = {name: recorded[name] for name in recorded.files if name != "steps"}
    assert steps[-1] == 5_000 and len(steps) > 100
    from ugatit_jax.methods import build_method

    method = build_method(get_config("light"))
    assert {*method.returning, *method.undecided, "at_bound/rho"} == values.keys()

    def said(changed: dict[str, float]) -> list[str]:
        watchdog = Watchdog.of(method)
        rows = ({k: x[i] * changed.get(k, 1) for k, x in values.items()} for i in range(len(steps)))
        return [
            text for step, row in zip(steps, rows, strict=True) for text in watchdog.look(step, row)
        ]

    assert said({}) == []
    # And it is looked at: discriminators with a tenth of these losses would have won.
    (won,) = said(dict.fromkeys(method.undecided, 0.01))
    assert won.startswith("discriminators have won")


@pytest.mark.parametrize("kind", losses.UNDECIDED)
def test_discriminators_are_right_as_often_as_is_said_or_more(
    kind: Callable[[Array, float], Array],
) -> None:
    rng = np.random.default_rng(0)
    middle = 0.5 if kind is losses.least_squares else 0.0
    same = jnp.full(100, middle)
    assert kind(same, 1) + kind(same, 0) == pytest.approx(losses.UNDECIDED[kind])
    for certain in np.linspace(-1, 8, 30):
        real, fake = (middle + rng.normal(at, 1, 1000) for at in (certain, -certain))
        right = ((real > middle).mean() + (fake < middle).mean()) / 2
        loss = float(kind(jnp.asarray(real), 1) + kind(jnp.asarray(fake), 0))
        assert 1 - loss / losses.UNDECIDED[kind] <= right + 1e-6


def test_a_mean_is_of_so_many_steps_and_not_of_fewer() -> None:
    recent, found = Recent(10), []
    for step in range(5, 40, 5):
        recent.add(step, float(step))
        found.append(recent.mean())
    assert found == [None, None, 10.0, 15.0, 20.0, 25.0, 30.0]


def test_each_thing_is_said_once_and_only_if_it_lasts() -> None:
    limits = Limits(window=100)
    shares = {"ill": [0.992] * 40, "for a while": [1.0] * 5 + [0.9] * 35, "well": [0.5] * 40}
    for name, course in shares.items():
        watchdog = Watchdog(limits=limits)
        said = [
            (step, text)
            for step, share in zip(range(0, 400, 10), course, strict=True)
            for text in watchdog.look(step, {"at_bound/x": share})
        ]
        assert [step for step, _ in said] == ([100] if name == "ill" else [])
        assert all(text.startswith("x is stuck: for 100 steps 99% of its") for _, text in said)


def test_blank_and_alike_are_told_apart_and_inputs_that_are_so_are_no_illness() -> None:
    rng = np.random.default_rng(0)
    varied = rng.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    alike = np.broadcast_to(varied[:1], varied.shape)
    colours = np.broadcast_to(varied[:, :1, :1], varied.shape)
    for inputs, translations, expected in (
        (varied, alike, ["all alike"]),
        (varied, colours, ["blank"]),
        (varied, 0 * varied, ["all alike"]),  # which is enough
        (varied, 0.5 * varied, []),
        (0 * varied, 0 * varied, []),
        (varied[:1], alike[:1], []),  # one picture is like itself
    ):
        watchdog, said = Watchdog(limits=Limits(changed=0)), []
        for step in (50, 200, 300, 400, 500):
            said += watchdog.look_at_samples(step, {"a2b": (inputs, translations)})
            assert not said or step >= 300  # twice, and not in the first steps
        assert [text.split(" are ")[1].split(":")[0] for text in said] == expected


def test_translations_that_are_their_inputs_are_told_if_it_lasts() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    same, nearly, other = inputs, inputs + 0.002, inputs + 0.02 * np.sign(inputs)
    for course, expected in (
        ([same] * 8, [1_200]),
        ([nearly] * 8, [1_200]),
        ([other] * 8, []),
        ([same] * 4 + [other] + [same] * 3, []),
        ([same] * 4 + [other] + [same] * 8, [2_000]),
    ):
        watchdog = Watchdog()
        said = [
            (step, text)
            for step, translations in zip(range(0, 3_000, 200), course, strict=False)
            for text in watchdog.look_at_samples(step, {"b2a": (inputs, translations)})
        ]
        assert [step for step, _ in said] == expected
        assert all(text.startswith("translations b2a are their inputs: ") for _, text in said)
