"""CartoonGAN against the same networks and losses written in PyTorch; its two phases."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import phases
import pytest
import pytorch_cartoongan
import tiny_vgg
import torch
import torch_layers
from ml_collections import ConfigDict
from pytorch_golden import nhwc

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.exporting import export_run
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Context, shapes
from ugatit_jax.models import vgg
from ugatit_jax.training.loop import train
from ugatit_jax.training.step import gradients

CONV4_3 = 21  # torchvision's number of it


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vgg.save(tmp_path_factory.mktemp("vgg") / "vgg16.pth")


def make_config(vgg_file: Path, **fields: Any) -> ConfigDict:
    config = get_config("cartoongan")
    small = {
        "model.base_width": 4,
        "model.discriminator_width": 4,
        "model.residual_blocks": 1,
        "loss.content_network": str(vgg_file),
        "data.image_size": (16, 16),
    }
    config.update_from_flattened_dict(small | fields)
    return config


def test_the_settings_are_the_authors() -> None:
    config = get_config("cartoongan")
    method = build_method(config)
    params, _ = shapes(method)
    for group, count in (("generators", 11_129_667), ("discriminators", 1_129_665)):
        assert sum(x.size for x in jax.tree.leaves(params[group])) == count
    assert (config.loss.content, config.loss.pool, config.train.batch_size) == (10, 50, 8)
    rates = method.schedules(config.train)
    # Content alone, for half of its time with a constant rate; then everything, alike.
    for step, rate in ((0, 2e-4), (4_249, 2e-4), (6_374, 1e-4), (8_499, 0)):
        assert float(rates["generators"](step)) == pytest.approx(rate)
    for step, rate in ((8_500, 1e-5), (50_999, 1e-5), (72_249, 5e-6), (93_499, 0)):
        assert float(rates["generators"](step)) == pytest.approx(rate)
        assert float(rates["discriminators"](step - 8_500)) == pytest.approx(rate)


def test_fields_that_cannot_work_are_refused(vgg_file: Path) -> None:
    def refusal(**fields: Any) -> str:
        with pytest.raises(InputError) as error:
            check_config(make_config(vgg_file, **fields), device_count=1)
        return str(error.value)

    assert "content_steps is 8500, and the training ends at step 9 (" in refusal(
        **{"train.steps": 9}
    )
    assert "content_layer is 'conv4_4', which VGG16" in refusal(**{"loss.content_layer": "conv4_4"})
    assert "content_network is 'vgg11': cannot read" in refusal(**{"loss.content_network": "vgg11"})
    assert "config.loss.content is -1.0; it must be 0" in refusal(**{"loss.content": -1.0})


def test_what_content_is_compared_by_is_named(vgg_file: Path) -> None:
    method = build_method(make_config(vgg_file))
    sha256 = hashlib.sha256(vgg_file.read_bytes()).hexdigest()
    network = {"network": "VGG16", "layer": "conv4_3", "sha256": sha256}
    assert method.describe_fixed() == {"content": network}
    assert [*method.fixed()] == vgg.convolutions("VGG16")[:10]


def test_losses_and_gradients_are_those_of_pytorch(vgg_file: Path) -> None:
    g, d = (
        net.double()
        for net in (pytorch_cartoongan.generator(4, 1), pytorch_cartoongan.discriminator(4))
    )
    theirs_of_vgg = tiny_vgg.layers("VGG16", 1).double()
    g_names = pytorch_cartoongan.generator_names(1)
    d_names = pytorch_cartoongan.DISCRIMINATOR_NAMES
    rng = np.random.default_rng(0)
    a, b, edges, old = (torch.tensor(rng.uniform(-1, 1, (2, 3, 24, 32))) for _ in range(4))
    square, absolute = torch.nn.MSELoss(), torch.nn.L1Loss()

    def features(x: torch.Tensor) -> torch.Tensor:
        return tiny_vgg.features(theirs_of_vgg, x, CONV4_3)

    fake = g(a)
    content = absolute(features(fake), features(a))
    judged = d(fake)
    adversarial = square(judged, torch.ones_like(judged))
    on_real, on_old, on_edges = d(b), d(old), d(edges)
    d_loss = square(on_real, torch.ones_like(on_real))
    d_loss += square(on_old, torch.zeros_like(on_old))
    d_loss += square(on_edges, torch.zeros_like(on_edges))
    g_loss = adversarial + 10 * content
    expected = []
    for net, names, loss in ((d, d_names, d_loss), (g, g_names, g_loss)):
        net.zero_grad()
        loss.backward(retain_graph=True)
        expected.append((loss.item(), torch_layers.gradients(net, names)))

    with jax.enable_x64(True):
        method = build_method(make_config(vgg_file))
        method = dataclasses.replace(
            method,
            generator=method.generator.clone(dtype=jnp.float64),
            discriminator=method.discriminator.clone(dtype=jnp.float64),
        )
        batch = {"a": nhwc(a.numpy()), "b": nhwc(b.numpy()), "edges": nhwc(edges.numpy())}
        params = {
            "generators": {"a2b": torch_layers.to_ours(g, g_names)},
            "discriminators": {"b": torch_layers.to_ours(d, d_names)},
        }
        fixed = jax.tree.map(lambda x: x.astype(np.float64), method.fixed())

        @jax.jit
        def run(params: Any, fixed: Any) -> Any:
            opened = jax.vjp(lambda p: method.first(p, batch, ()), params)
            context = Context(batch, (), nhwc(old.numpy()), {}, fixed)
            (alone,), both = (method.players(phase) for phase in method.phases)
            of_both = [gradients(player, params, opened, context) for player in both]
            return opened[0], alone.loss(params, opened[0], context)[0], of_both

        picture, alone, found = jax.device_get(run(params, fixed))
    np.testing.assert_allclose(picture, nhwc(fake.detach().numpy()), atol=1e-9)
    np.testing.assert_allclose(alone, 10 * content.item(), rtol=1e-8)
    groups = (("discriminators", "b"), ("generators", "a2b"))
    for (grads, terms), (loss, theirs), (group, name) in zip(found, expected, groups, strict=True):
        np.testing.assert_allclose(terms["total"], loss, rtol=1e-8)
        torch_layers.compare(grads[group][name], theirs)


# --- A training of six steps, four of content alone -----------------------------------------------


def training_config(vgg_file: Path, pictures: Path) -> ConfigDict:
    return make_config(
        vgg_file,
        **{
            "data.source": str(pictures),
            "train.steps": 6,
            "train.content_steps": 4,
            "train.learning_rate": 1e-3,
            "log_every": 1,
            "samples.every": 6,
            "samples.count": 2,
            "eval.every": 0,
            "checkpoint.every": 1,
            "checkpoint.keep": 10,
        },
    )


@pytest.fixture(scope="module")
def run(
    vgg_file: Path, pictures: Path, compiled_once: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    workdir = tmp_path_factory.mktemp("cartoongan") / "run"
    assert train(training_config(vgg_file, pictures), workdir) == 6
    return workdir


@pytest.mark.thorough
def test_content_comes_alone_and_then_both_move(run: Path) -> None:
    assert phases.moved(run, 3) == {"generators"}
    assert phases.moved(run, 5) == {"generators", "discriminators"}
    # Translations of the first phase are not kept for the discriminator.
    counts = [int(phases.state_at(run, step).other["pool"]["count"]) for step in (4, 5)]
    assert counts == [0, 8]


@pytest.mark.thorough
def test_a_run_goes_on_across_the_phases_to_the_same_bits(
    run: Path, vgg_file: Path, pictures: Path, tmp_path: Path
) -> None:
    config = training_config(vgg_file, pictures)
    phases.assert_goes_on_alike(config, run, step=3, copy=tmp_path / "run")


@pytest.mark.thorough
def test_a_run_says_what_content_was_compared_by_and_keeps_to_it(
    run: Path, vgg_file: Path, pictures: Path, tmp_path: Path
) -> None:
    record = json.loads((run / "run.json").read_text())["identity"]["fixed"]
    assert record == build_method(training_config(vgg_file, pictures)).describe_fixed()
    sha256 = record["content"]["sha256"]
    other = training_config(tiny_vgg.save(tmp_path / "vgg19.pth", "VGG19"), pictures)
    with pytest.raises(
        InputError, match=rf"content is told by VGG19 .*VGG16 \(SHA-256 {sha256[:8]}"
    ):
        train(other, run)


@pytest.mark.thorough
def test_it_translates_one_way_alone(run: Path, tmp_path: Path) -> None:
    translator = Translator.load(run)
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert translator(picture).shape == (16, 16, 3)
    with pytest.raises(InputError, match="no direction 'b2a': choose a2b"):
        translator(picture, "b2a")
    assert (run / "samples" / "step_0000006.png").exists()
    export_run(run, tmp_path / "out")
    exported = Translator.load(tmp_path / "out")
    np.testing.assert_array_equal(exported(picture), translator(picture))
    assert not (tmp_path / "out" / "b2a.safetensors").exists()
