"""UNIT and MUNIT against the same networks and losses written in PyTorch."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_munit
import tiny_vgg
import torch
from ml_collections import ConfigDict
from pytorch_golden import nhwc

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.interop import munit as weights
from ugatit_jax.interop import state_dict
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Context, Method, shapes
from ugatit_jax.training.step import gradients

WIDTH, BLOCKS, STYLE, LAYERS, SCALES, SIZE = 4, 1, 3, 2, 2, (24, 20)
NAMES = {"munit": weights.munit_names(BLOCKS), "unit": weights.unit_names(BLOCKS)}
LAYER = "relu2_2"  # torchvision's features.8
OF_JUDGES = weights.discriminator_names(LAYERS, SCALES)
Nets = dict[str, Any]  # 'gen_a' and so on


def make_config(method: str, **fields: Any) -> ConfigDict:
    config = get_config(method)
    small = {
        "model.base_width": WIDTH,
        "model.residual_blocks": BLOCKS,
        "model.discriminator_layers": LAYERS,
        "model.discriminator_scales": SCALES,
        "data.image_size": SIZE,
    }
    config.update_from_flattened_dict(small | fields)
    return config


def networks(method: str) -> Nets:
    def generator() -> Any:
        if method == "munit":
            return pytorch_munit.Munit(WIDTH, BLOCKS, STYLE)
        return pytorch_munit.Unit(WIDTH, BLOCKS)

    made = {f"gen_{x}": generator() for x in "ab"}
    made |= {f"dis_{x}": pytorch_munit.Discriminator(WIDTH, LAYERS, SCALES) for x in "ab"}
    for seed, net in enumerate(made.values()):
        pytorch_munit.randomize(net, seed).double()
    return made


def our_params(method: Method, nets: Nets, names: dict[str, str]) -> dict[str, Any]:
    expected, _ = shapes(method)
    states = {
        name: {key: value.numpy() for key, value in net.state_dict().items()}
        for name, net in nets.items()
    }
    imported = functools.partial(state_dict.import_network, unused=weights.STATISTICS)
    return {
        "generators": {
            x: imported(states[f"gen_{x}"], names, expected["generators"][x]) for x in "ab"
        },
        "discriminators": {
            x: imported(states[f"dis_{x}"], OF_JUDGES, expected["discriminators"][x]) for x in "ab"
        },
    }


def mean_square(outputs: list[torch.Tensor], target: float) -> torch.Tensor:
    return sum((torch.mean((x - target) ** 2) for x in outputs), torch.zeros(()))


def judging(nets: Nets, pictures: dict[str, Any], fakes: dict[str, Any]) -> torch.Tensor:
    """The discriminators' loss."""
    total = torch.zeros(())
    for x in "ab":
        net = nets[f"dis_{x}"]
        total = total + mean_square(net(fakes[x].detach()), 0) + mean_square(net(pictures[x]), 1)
    return total


def perceptual(vgg: Any, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    found, given = (
        torch.nn.functional.instance_norm(tiny_vgg.features(vgg, x, 8)) for x in (fake, real)
    )
    return torch.mean((found - given) ** 2)


def munit_losses(nets: Nets, pictures: dict[str, Any], noise: Any) -> tuple[Any, dict[str, Any]]:
    gen = {x: nets[f"gen_{x}"] for x in "ab"}
    absolute, other = torch.nn.L1Loss(), {"a": "b", "b": "a"}
    content = {x: gen[x].enc_content(pictures[x]) for x in "ab"}
    style = {x: gen[x].enc_style(pictures[x]).flatten(1) for x in "ab"}
    drawn = noise["discriminator"]
    of_d = judging(nets, pictures, {x: gen[x].decode(content[other[x]], drawn[x]) for x in "ab"})
    drawn = noise["generator"]
    fake = {x: gen[x].decode(content[other[x]], drawn[x]) for x in "ab"}
    again = {other[x]: gen[x].enc_content(fake[x]) for x in "ab"}
    parts = {
        "adversarial": {x: mean_square(nets[f"dis_{x}"](fake[x]), 1) for x in "ab"},
        "image": {x: absolute(gen[x].decode(content[x], style[x]), pictures[x]) for x in "ab"},
        "style": {x: absolute(gen[x].enc_style(fake[x]).flatten(1), drawn[x]) for x in "ab"},
        "content": {x: absolute(again[x], content[x]) for x in "ab"},
        "cycle": {x: absolute(gen[x].decode(again[x], style[x]), pictures[x]) for x in "ab"},
        "perceptual": {x: perceptual(nets["vgg"], fake[x], pictures[other[x]]) for x in "ab"},
    }
    return of_d, parts


def unit_losses(nets: Nets, pictures: dict[str, Any], noise: Any) -> tuple[Any, dict[str, Any]]:
    gen = {x: nets[f"gen_{x}"] for x in "ab"}
    absolute, other = torch.nn.L1Loss(), {"a": "b", "b": "a"}
    mean = {x: gen[x].enc(pictures[x]) for x in "ab"}
    latent = {x: mean[x] + noise["discriminator"][x] for x in "ab"}
    of_d = judging(nets, pictures, {x: gen[x].dec(latent[other[x]]) for x in "ab"})
    latent = {x: mean[x] + noise["generator"][x] for x in "ab"}
    fake = {x: gen[x].dec(latent[other[x]]) for x in "ab"}
    again = {other[x]: gen[x].enc(fake[x]) for x in "ab"}
    back = {x: gen[x].dec(again[x] + noise["cycle"][x]) for x in "ab"}
    parts = {
        "adversarial": {x: mean_square(nets[f"dis_{x}"](fake[x]), 1) for x in "ab"},
        "image": {x: absolute(gen[x].dec(latent[x]), pictures[x]) for x in "ab"},
        "cycle": {x: absolute(back[x], pictures[x]) for x in "ab"},
        "kl": {x: torch.mean(mean[x] ** 2) for x in "ab"}
        | {f"cycle_{x}": torch.mean(again[x] ** 2) for x in "ab"},
        "perceptual": {x: perceptual(nets["vgg"], fake[x], pictures[other[x]]) for x in "ab"},
    }
    return of_d, parts


CASES: dict[str, Any] = {
    "munit": (
        munit_losses,
        {"adversarial": 1, "image": 10, "style": 1, "content": 1, "cycle": 10},
        ("discriminator", "generator"),
        (STYLE,),
    ),
    "unit": (
        unit_losses,
        {"adversarial": 1, "image": 10, "cycle": 10, "kl": 0.01},
        ("discriminator", "generator", "cycle"),
        (4 * WIDTH, SIZE[0] // 4, SIZE[1] // 4),
    ),
}


@pytest.mark.parametrize("name", ["munit", "unit"])
def test_losses_and_gradients_are_those_of_pytorch(name: str, tmp_path: Path) -> None:
    losses, factors, uses, shape = CASES[name]
    factors = factors | {"perceptual": 2}
    nets, rng = networks(name), np.random.default_rng(0)
    pictures = {x: rng.uniform(-1, 1, (2, 3, *SIZE)) for x in "ab"}
    noise = {use: {x: rng.normal(size=(2, *shape)) for x in "ab"} for use in uses}
    vgg = {"vgg": tiny_vgg.layers("VGG16", 1).double()}
    of_d, parts = losses(nets | vgg, *jax.tree.map(torch.tensor, (pictures, noise)))
    of_g = sum(factors[term] * sum(by_part.values()) for term, by_part in parts.items())
    theirs: dict[str, Any] = {}
    for kind, loss in (("dis", of_d), ("gen", of_g)):
        for x in "ab":
            found = torch.autograd.grad(loss, nets[f"{kind}_{x}"].parameters(), retain_graph=True)
            of_net = nets[f"{kind}_{x}"].named_parameters()
            theirs[f"{kind}_{x}"] = dict(zip((n for n, _ in of_net), found, strict=True))

    with jax.enable_x64(True):
        fields: dict[str, Any] = {"model.style_size": STYLE} if name == "munit" else {}
        fields |= {"loss.perceptual": 2.0, "loss.perceptual_layer": LAYER}
        fields |= {"loss.perceptual_network": str(tiny_vgg.save(tmp_path / "vgg16.pth"))}
        method = build_method(make_config(name, **fields))
        wide = {
            field.name: network.clone(dtype=jnp.float64)
            for field in dataclasses.fields(method)  # type: ignore[arg-type]
            if isinstance(network := getattr(method, field.name), nn.Module)
        }
        method = dataclasses.replace(method, **wide)  # type: ignore[type-var]
        assert [player.name for player in method.players("train")] == ["discriminator", "generator"]
        batch = {x: nhwc(pictures[x]) for x in "ab"}
        if name == "unit":
            noise = jax.tree.map(nhwc, noise)
        drawn = method.draw(jax.random.key(0), batch)
        assert jax.tree.map(np.shape, drawn) == jax.tree.map(np.shape, noise)

        @jax.jit
        def run(params: Any) -> Any:
            opened = jax.vjp(lambda p: method.first(p, batch, noise), params)
            context = Context(batch, noise, (), {}, method.fixed())
            return [
                gradients(player, params, opened, context) for player in method.players("train")
            ]

        (d_grads, d_terms), (g_grads, g_terms) = run(our_params(method, nets, NAMES[name]))
    np.testing.assert_allclose(d_terms["total"], of_d.item(), rtol=1e-8)
    np.testing.assert_allclose(g_terms["total"], of_g.item(), rtol=1e-8)
    for term, by_part in parts.items():
        for part, value in by_part.items():
            np.testing.assert_allclose(g_terms[f"{term}/{part}"], value.item(), rtol=1e-8)
    for group, kind, grads in (("discriminators", "dis", d_grads), ("generators", "gen", g_grads)):
        names = OF_JUDGES if kind == "dis" else NAMES[name]
        for x in "ab":
            ours = state_dict.export_network(jax.device_get(grads[group][x]), names)
            assert ours.keys() == theirs[f"{kind}_{x}"].keys()
            for tensor, gradient in theirs[f"{kind}_{x}"].items():
                np.testing.assert_allclose(
                    ours[tensor], gradient, rtol=1e-4, atol=1e-8, err_msg=tensor
                )


@pytest.mark.parametrize(
    ("name", "generator", "everything"),
    [("munit", 15_026_187, 46_594_716), ("unit", 11_140_483, 38_823_308)],
)
def test_full_size_has_the_parameters_of_the_original(
    name: str, generator: int, everything: int
) -> None:
    method = build_method(get_config(name))
    params, other = shapes(method)

    def count(tree: Any) -> int:
        return sum(x.size for x in jax.tree.leaves(tree))

    b2a = method.select({"generators": params["generators"]}, "b2a")
    assert count(params["generators"]["a"]) == count(b2a) == generator
    assert count(params["discriminators"]["b"]) == 8_271_171
    assert count(params) == everything
    assert other == {}


@pytest.mark.parametrize("name", ["munit", "unit"])
def test_the_settings_are_the_authors(name: str) -> None:
    config = get_config(name)
    train = config.train
    assert (train.learning_rate, train.weight_decay, train.batch_size) == (1e-4, 1e-4, 1)
    assert (train.beta1, train.beta2, train.steps) == (0.5, 0.999, 1_000_000)
    factors = CASES[name][1]
    none = {"perceptual": 0, "perceptual_network": "vgg16", "perceptual_layer": "relu5_3"}
    assert config.loss.to_dict() == factors | none
    method = check_config(config, device_count=1)
    for schedule in method.schedules(train).values():
        rates = [float(schedule(count)) for count in (0, 99_999, 100_000, 299_999, 300_000)]
        np.testing.assert_allclose(rates, [1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5], rtol=1e-6)
    train.batch_size, train.learning_rate_scaling = 4, "sqrt"
    assert float(method.schedules(train)["generators"](0)) == pytest.approx(2e-4)


def test_first_weights_are_the_authors() -> None:
    fields = {"model.base_width": 32, "data.image_size": (16, 16)}
    method = build_method(make_config("munit", **fields))
    params, _ = jax.jit(method.init)(jax.random.key(0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        keys, count = [entry.key for entry in path], leaf[..., 0].size
        if keys[-1] == "kernel" and leaf.size > 4000:
            deviation = 0.02 if keys[0] == "discriminators" else np.sqrt(2 / count)
            np.testing.assert_allclose(np.std(leaf), deviation, rtol=0.05, err_msg=str(keys))
        elif keys[-1] == "gamma":
            assert leaf.min() >= 0 and leaf.max() < 1 and np.std(leaf) > 0.2
        elif keys[-1] in ("bias", "beta"):
            assert not leaf.any()
    a, b = (jax.tree.leaves(params["generators"][x])[-1] for x in "ab")
    assert (np.asarray(a) != b).any()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"data.image_size": (32, 32), "model.discriminator_layers": 4},
            r"too small for discriminators of 4 layers at 2 scales, which take 32 px|^$",
        ),
        (
            {"data.image_size": (16, 64), "model.discriminator_layers": 4},
            r"image_size is \(16, 64\), too small for .*4 layers at 2 scales, which take 32 px",
        ),
        ({"model.discriminator_scales": 0}, r"discriminator_scales is 0; it must be 1 or more"),
        ({"model.residual_blocks": 0}, r"residual_blocks is 0; it must be 1 or more"),
        ({"train.halve_every": 0}, r"train.halve_every is 0; it must be 1 or more"),
        (
            {"loss.perceptual": 1.0, "loss.perceptual_network": "nowhere.pth"},
            r"perceptual_network is 'nowhere.pth'",
        ),
        ({"loss.image": -1.0}, r"loss.image is -1.0; it must be 0 or more"),
    ],
)
@pytest.mark.parametrize("name", ["munit", "unit"])
def test_what_cannot_work_is_said(name: str, fields: dict[str, Any], said: str) -> None:
    config = make_config(name, **fields)
    if said.endswith("|^$"):
        check_config(config, device_count=1)  # the smallest
        return
    with pytest.raises(InputError, match=said):
        check_config(config, device_count=1)
