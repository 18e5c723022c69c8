"""AGGAN against the same networks and losses written in PyTorch; its two phases."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import phases
import pytest
import pytorch_aggan
import torch
import torch_layers
from ml_collections import ConfigDict
from PIL import Image
from pytorch_golden import nhwc

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.records import save_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Context, shapes
from ugatit_jax.methods.state import create_state
from ugatit_jax.models.attention_network import AttentionNetwork
from ugatit_jax.runs.checkpoints import open_checkpoints, save
from ugatit_jax.training.loop import train
from ugatit_jax.training.step import gradients
from ugatit_jax.translate import main as translate


def make_config(**fields: Any) -> ConfigDict:
    config = get_config("aggan")
    small = {
        "model.base_width": 4,
        "model.attention_width": 4,
        "model.discriminator_width": 4,
        "model.discriminator_layers": 1,
        "model.residual_blocks": 1,
        "data.image_size": (16, 16),
    }
    config.update_from_flattened_dict(small | fields)
    return config


def test_the_settings_are_the_authors() -> None:
    config = get_config("aggan")
    params, other = shapes(build_method(config))
    counts = {"generator": 2_855_811, "attention": 104_001, "discriminator": 2_766_657}
    for group, tree in params.items():
        assert sum(x.size for x in jax.tree.leaves(tree)) == counts[group.partition("_")[0]]
    assert len(params) == 6
    assert other["pool"]["a"]["items"]["masks"].shape == (50, 256, 256, 1)
    assert (config.loss.cycle, config.loss.mask_threshold) == (10, 0.1)
    train = config.train
    assert (train.learning_rate, train.weight_decay, train.batch_size) == (1e-4, 0, 1)
    assert train.attention_steps / train.steps == 30 / 100
    drawn = build_method(config).attention.kernel_init(jax.random.key(0), (99, 99))
    assert 0.039 < jnp.abs(drawn).max() <= 0.04  # two deviations


def test_fields_that_cannot_work_are_refused() -> None:
    for field, value, said in (
        ("loss.mask_threshold", 1.5, "must be in [0, 1]"),
        ("model.attention_width", 0, "must be 1 or more"),
        ("train.attention_steps", -1, "must be 0 or more"),
        ("model.discriminator_layers", 3, "too small for discriminators of 3 layers"),
    ):
        with pytest.raises(InputError) as error:
            check_config(make_config(**{field: value}), device_count=1)
        assert said in str(error.value)


def test_masks_are_those_of_a_network_that_enlarges_first() -> None:
    theirs = pytorch_aggan.attention(4, seed=1).double()
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 24))
    with jax.enable_x64(True):
        net = AttentionNetwork(4, dtype=jnp.float64)
        params = torch_layers.to_ours(theirs, pytorch_aggan.ATTENTION_NAMES)
        mask = np.asarray(net.apply({"params": params}, nhwc(x)))
    np.testing.assert_allclose(mask, nhwc(theirs(torch.tensor(x)).detach().numpy()), atol=1e-12)
    assert mask.std() > 0.01


class Peer:
    """Its networks, and what they make, in PyTorch. Those of a seed are all different."""

    threshold = 0.0

    def __init__(self, seed: int) -> None:
        self.generators = {
            way: pytorch_aggan.generator(4, 1, seed + i).double()
            for i, way in enumerate(("a2b", "b2a"))
        }
        self.attention = {
            x: pytorch_aggan.attention(4, seed + i).double() for i, x in enumerate("ab")
        }
        self.discriminators = {
            x: pytorch_aggan.discriminator(4, 1, seed + i).double() for i, x in enumerate("ab")
        }

    def translate(self, way: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = self.attention[way[0]](x)
        return mask * self.generators[way](x) + (1 - mask) * x, mask

    def judge(self, domain: str, x: torch.Tensor, mask: torch.Tensor, masked: bool) -> torch.Tensor:
        if masked:
            x = x * (mask >= self.threshold)
        return self.discriminators[domain](x, normalize=not masked)

    @property
    def named(self) -> dict[str, tuple[torch.nn.Module, list[str]]]:
        found = {}
        for way, net in self.generators.items():
            found[f"generator_{way}"] = (net, pytorch_aggan.generator_names(1))
        for x in "ab":
            found[f"attention_{x}"] = (self.attention[x], pytorch_aggan.ATTENTION_NAMES)
            names = pytorch_aggan.discriminator_names(1)
            found[f"discriminator_{x}"] = (self.discriminators[x], names)
        return found

    def params(self) -> dict[str, Any]:
        return {name: torch_layers.to_ours(*both) for name, both in self.named.items()}

    def gradients(self, loss: torch.Tensor, groups: tuple[str, ...]) -> dict[str, Any]:
        for net, _ in self.named.values():
            net.zero_grad()
        loss.backward(retain_graph=True)
        return {group: torch_layers.gradients(*self.named[group]) for group in groups}


def test_losses_and_gradients_are_those_of_pytorch() -> None:
    peer = Peer(seed=0)
    start = peer.params()
    # After the first direction and the first discriminator have moved.
    moved = start | {
        name: torch_layers.to_ours(*Peer(seed=10).named[name])
        for name in ("generator_a2b", "attention_a", "discriminator_b")
    }
    rng = np.random.default_rng(0)
    a, b, old_a, old_b = (torch.tensor(rng.uniform(-1, 1, (2, 3, 16, 16))) for _ in range(4))
    masks_a, masks_b = (torch.tensor(rng.uniform(0, 1, (2, 1, 16, 16))) for _ in range(2))
    square, absolute = torch.nn.MSELoss(), torch.nn.L1Loss()

    def way_loss(way: str, masked: bool) -> torch.Tensor:
        source, target = (a, b) if way == "a2b" else (b, a)
        fake, mask = peer.translate(way, source)
        other, _ = peer.translate(way[::-1], target)
        judged = peer.judge(way[-1], fake, mask, masked)
        cycles = absolute(peer.translate(way[::-1], fake)[0], source)
        cycles = cycles + absolute(peer.translate(way, other)[0], target)
        return square(judged, torch.ones_like(judged)) + 10 * cycles

    def judge_loss(domain: str, masked: bool, mask_of_real: torch.Tensor) -> torch.Tensor:
        real, old, mask = (a, old_a, masks_a) if domain == "a" else (b, old_b, masks_b)
        on_real = peer.judge(domain, real, mask_of_real, masked)
        on_old = peer.judge(domain, old, mask, masked)
        return (square(on_real, torch.ones_like(on_real)) + square(on_old, 0 * on_old)) / 2

    def note(loss: torch.Tensor, *groups: str) -> None:
        expected.append((loss.item(), peer.gradients(loss, groups)))

    mask_of_b, mask_of_a = peer.attention["b"](b).detach(), peer.attention["a"](a).detach()
    # Half of what is seen in the second phase is hidden.
    peer.threshold = torch.cat([mask_of_a, mask_of_b]).median().item() + 1e-6
    expected: list[tuple[float, dict[str, Any]]] = []
    note(way_loss("a2b", False), "generator_a2b", "attention_a")
    note(judge_loss("b", False, mask_of_b), "discriminator_b")
    other = Peer(seed=10)
    peer.generators["a2b"], peer.attention["a"] = other.generators["a2b"], other.attention["a"]
    peer.discriminators["b"] = other.discriminators["b"]
    note(way_loss("b2a", True), "generator_b2a")
    note(judge_loss("a", True, mask_of_a), "discriminator_a")

    with jax.enable_x64(True):
        method = build_method(make_config(**{"loss.mask_threshold": peer.threshold}))
        networks = ("generator", "attention", "discriminator")
        wide = {name: getattr(method, name).clone(dtype=jnp.float64) for name in networks}
        method = dataclasses.replace(method, **wide)
        batch = {"a": nhwc(a.numpy()), "b": nhwc(b.numpy())}
        seen = {
            "a": {"pictures": nhwc(old_a.numpy()), "masks": nhwc(masks_a.numpy())},
            "b": {"pictures": nhwc(old_b.numpy()), "masks": nhwc(masks_b.numpy())},
        }

        @jax.jit
        def run(start: Any, moved: Any) -> Any:
            opened = jax.vjp(lambda p: method.first(p, batch, ()), start)
            context = Context(batch, (), seen, {}, ())
            (way, judge, *_), (*_, other_way, other_judge) = map(method.players, method.phases)
            return [
                *(gradients(player, start, opened, context) for player in (way, judge)),
                *(gradients(player, moved, opened, context) for player in (other_way, other_judge)),
            ]

        found = jax.device_get(run(start, moved))
    for (grads, terms), (loss, theirs) in zip(found, expected, strict=True):
        np.testing.assert_allclose(terms["total"], loss, rtol=1e-8)
        torch_layers.compare(grads, theirs)


def test_its_masks_can_be_looked_at(tmp_path: Path) -> None:
    config = make_config()
    method = build_method(config)
    rng = np.random.default_rng(0)
    state = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(scale=0.2, size=x.shape), x.dtype),
        jax.eval_shape(partial(create_state, method, config.train, config.seed)),
    )
    run = tmp_path / "run"
    run.mkdir()
    save_config(config, run / "config.json")
    with open_checkpoints(run, config.checkpoint) as checkpoints:
        save(checkpoints, method, state)
    picture = rng.integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "x.png")
    found = Translator.load(run).details(picture, "b2a", cycle=True)
    mask = found.looks["attention"]
    assert mask.shape == (16, 16) and 0 < mask.min() < mask.max() < 1
    # What attention leaves alone stays: the translation is nearer to it by the mask's share.
    groups = {name: state.params[name] for name in method.translating}
    weights = method.select(groups, "b2a")
    x = picture[None] / np.float32(127.5) - 1
    made = np.asarray(method.generator.apply({"params": weights["generator"]}, x))[0]
    expected = x[0] + mask[..., None] * (made - x[0])
    np.testing.assert_allclose(found.picture, (expected + 1) * 127.5, atol=0.51)
    out, flags = tmp_path / "out", ["--attention", "--direction=b2a"]
    assert translate([str(run), str(tmp_path / "x.png"), f"--out={out}", *flags]) == 0
    with np.load(out / "attention" / "x.npz") as arrays:
        assert [*arrays] == ["generator"]
        np.testing.assert_allclose(arrays["generator"], mask, atol=1e-6)
    assert np.asarray(Image.open(out / "attention" / "x.png")).ndim == 3


# --- A training of four steps, two of which learn attention ---------------------------------------


def training_config(pictures: Path) -> ConfigDict:
    return make_config(
        **{
            "data.source": str(pictures),
            "train.batch_size": 8,
            "train.steps": 4,
            "train.attention_steps": 2,
            "log_every": 1,
            "samples.every": 4,
            "samples.count": 2,
            "eval.every": 0,
            "checkpoint.every": 1,
            "checkpoint.keep": 10,
        }
    )


@pytest.fixture(scope="module")
def run(pictures: Path, compiled_once: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("aggan") / "run"
    assert train(training_config(pictures), workdir) == 4
    return workdir


@pytest.mark.thorough
def test_attention_is_frozen_when_it_is_learned(run: Path) -> None:
    others = {"generator_a2b", "generator_b2a", "discriminator_a", "discriminator_b"}
    assert phases.moved(run, 2) == others | {"attention_a", "attention_b"}
    assert phases.moved(run, 3) == others


@pytest.mark.thorough
def test_a_run_goes_on_across_the_phases_to_the_same_bits(
    run: Path, pictures: Path, tmp_path: Path
) -> None:
    phases.assert_goes_on_alike(training_config(pictures), run, step=1, copy=tmp_path / "run")
