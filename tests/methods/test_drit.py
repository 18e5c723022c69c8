"""DRIT against the same networks and objective written in PyTorch, and who moves when."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_drit as reference
import torch
from ml_collections import ConfigDict
from pytorch_golden import nhwc

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.config.flags import parse_flags
from ugatit_jax.console.errors import InputError
from ugatit_jax.methods import build_method
from ugatit_jax.methods.drit import DRIT, Draws
from ugatit_jax.methods.method import Context, shapes
from ugatit_jax.methods.optimizer import learning_rate
from ugatit_jax.training.step import gradients

SIZE = (20, 16)
PASSES = ("first", "back", "random")


def make_config(variant: str = "drit++", **fields: Any) -> ConfigDict:
    config = get_config(variant)
    small = {
        "model.base_width": reference.WIDTH,
        "model.residual_blocks": 1,
        "model.style_size": reference.STYLE,
        "model.discriminator_layers": 1,
        "model.discriminator_scales": reference.SCALES,
        "model.content_discriminator_layers": 0,
        "data.image_size": SIZE,
    }
    config.update_from_flattened_dict(small | fields)
    return config


# --- The settings ---------------------------------------------------------------------------------


def test_the_settings_are_the_authors() -> None:
    config = get_config("drit")
    assert config.train.learning_rate == config.train.weight_decay == 1e-4
    assert config.data.image_size == (216, 216) and config.data.load_scale * 216 == 256
    loss = config.loss.to_dict()
    assert loss.pop("mode_seeking") == 0
    assert sorted(loss.values()) == [0.01, 0.01, 1, 1, 10, 10, 10]
    for words in ("drit++", "drit,drit++"):
        other = get_config(words)
        assert (other.method, other.loss.mode_seeking) == ("drit", 1)
    check_config(config, device_count=1)
    for word in ("drit", "drit++"):
        command = parse_flags([f"--config=configs/demo.py:{word}"])
        assert isinstance(check_config(command.config, device_count=1), DRIT)


def test_full_size_has_the_parameters_of_the_original() -> None:
    params, other = shapes(build_method(get_config("drit")))
    counts = {group: sum(x.size for x in jax.tree.leaves(tree)) for group, tree in params.items()}
    assert counts == {
        "content_encoders": 9_018_112,
        "attribute_encoders": 2_688_160,
        "generators": 9_564_710,
        "discriminators": 4 * 8_271_171,
        "content_discriminator": 10_683_649,
    }
    assert sum(counts.values()) == 65_039_315 and not other


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"data.image_size": (208, 300)},
            "config.data.image_size is (208, 300), too small for the content discriminator of 3 "
            "layers, which takes 212 px; say --config.model.content_discriminator_layers=2, or "
            "take larger pictures",
        ),
        (
            {"data.image_size": (32, 32), "model.content_discriminator_layers": 0},
            "config.data.image_size is (32, 32), too small for discriminators of 4 layers at 3 "
            "scales, which take 64 px; take fewer (config.model.discriminator_layers, "
            "config.model.discriminator_scales), or larger pictures",
        ),
        (
            {"loss.mode_seeking": -1.0},
            "config.loss.mode_seeking is -1.0; it must be 0 or more",
        ),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any], said: str) -> None:
    config = get_config("drit")
    config.update_from_flattened_dict(fields)
    with pytest.raises(InputError) as error:
        check_config(config, device_count=1)
    assert str(error.value) == said


def test_rates_follow_the_step_whatever_the_count_of_a_groups_moves() -> None:
    config = make_config(**{"train.steps": 60})
    rate, rates = learning_rate(config.train), build_method(config).schedules(config.train)
    for step in (2, 29, 32, 44, 59):  # from 0; the last of three, and half are done at 30
        third = step // 3
        for group in ("attribute_encoders", "discriminators"):
            assert rates[group](third) == rate(step)
        for group in ("content_encoders", "generators"):
            assert rates[group](2 * third) == rates[group](2 * third + 1) == rate(step)
        assert rates["content_discriminator"](step) == pytest.approx(0.4 * rate(step))
    assert rates["generators"](39) == 0 < rates["generators"](37)


# --- The objective --------------------------------------------------------------------------------


def with_float64(method: Any) -> Any:
    """The same networks, in float64."""
    networks = method.networks
    wide = [
        network.clone(dtype=jnp.float64) if hasattr(network, "dtype") else network
        for network in networks
    ]
    shared = networks.shared
    shared = shared.clone(conv=type(shared.conv)(shared.conv, dtype=jnp.float64))
    wide[networks.index(networks.shared)] = shared
    return type(method)(type(networks)(*wide), method.weights, SIZE, method.style_size)


def random_arrays() -> tuple[dict[str, np.ndarray], dict[str, Draws]]:
    """Two pictures of each input, in PyTorch's order, and a step's draws for them."""
    rng = np.random.default_rng(0)
    names = ("a", "b", "random_a", "random_b")
    pictures = {name: rng.uniform(-1, 1, (2, 3, *SIZE)) for name in names}
    content = (2, 4 * reference.WIDTH, SIZE[0] // 4, SIZE[1] // 4)
    style = (2, reference.STYLE)
    draws = {
        name: Draws(
            {domain: rng.normal(size=content) for domain in "ab"},
            {domain: rng.normal(size=style) for domain in "ab"},
            (rng.normal(size=style), rng.normal(size=style)),
        )
        for name in PASSES
    }
    return pictures, draws


def of_picture(i: int, tree: Any) -> Any:
    """The i-th picture alone of every array, for PyTorch."""
    return jax.tree.map(lambda x: torch.tensor(x[i : i + 1]), tree)


@pytest.mark.parametrize("variant", ["drit++", pytest.param("drit", marks=pytest.mark.thorough)])
def test_losses_and_gradients_are_those_of_pytorch(variant: str) -> None:
    nets, (pictures, draws) = reference.build(1, 1, 0), random_arrays()
    named = [*nets.named_parameters()]
    expected: list[dict[str, Any]] = []
    for i in range(2):
        noise = {name: of_picture(i, each)._asdict() for name, each in draws.items()}
        if variant == "drit":
            noise = {name: each | {"styles": each["styles"][:1]} for name, each in noise.items()}
        expected.append(reference.losses(nets, of_picture(i, pictures), noise))

    with jax.enable_x64(True):
        method = with_float64(build_method(make_config(variant)))
        batch = {name: nhwc(x) for name, x in pictures.items()}
        noise = jax.tree.map(lambda x: nhwc(x) if x.ndim == 4 else x, draws)

        @jax.jit
        def run(params: Any) -> Any:
            opened = jax.vjp(lambda p: method.first(p, batch, noise), params)
            context = Context(batch, noise, (), {}, ())
            return {
                player.name: gradients(player, params, opened, context)
                for player in method.players("all")
            }

        found = run(reference.ours(named))
    for player in method.players("all"):
        grads, terms = found[player.name]
        # The loss of the batch is the mean of those of its pictures.
        means = {
            name: [(x + y) / 2 for x, y in zip(expected[0][player.name][name], parts, strict=True)]
            for name, parts in expected[1][player.name].items()
        }
        total = sum(x for parts in means.values() for x in parts)
        assert terms.keys() == {"total", *means, *(f"{name}/{d}" for name in means for d in "ab")}
        np.testing.assert_allclose(terms["total"], total.item(), rtol=1e-8)
        for name, parts in means.items():
            weight = weight_of(method, player.name, name)
            for domain, part in zip("ab", parts, strict=True):
                ours = weight * float(terms[f"{name}/{domain}"])
                np.testing.assert_allclose(ours, part.item(), rtol=1e-8, err_msg=name)
        moved = [(n, p) for n, p in named if n.split(".")[0] in player.moves]
        theirs = torch.autograd.grad(
            total, [p for _, p in moved], retain_graph=True, materialize_grads=True
        )
        names = (name for name, _ in moved)
        compare_trees(grads, reference.ours(zip(names, theirs, strict=True)))


def weight_of(method: Any, player: str, name: str) -> float:
    if player.endswith("discriminator"):
        return 1
    return method.weights[name]


def compare_trees(ours: Any, theirs: Any) -> None:
    def compare(path: Any, x: Any, y: Any) -> None:
        message = jax.tree_util.keystr(path)
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-9, err_msg=message)

    jax.tree.map_with_path(compare, ours, theirs)


def test_pictures_are_translated_in_the_style_of_others() -> None:
    nets, ((a, b), style) = (
        reference.build(1, 1, 0).float(),
        (
            np.random.default_rng(0).uniform(-1, 1, (2, 1, 3, *SIZE)).astype(np.float32),
            np.random.default_rng(1).normal(size=(1, reference.STYLE)).astype(np.float32),
        ),
    )
    method = build_method(make_config())
    params = reference.ours(nets.named_parameters())
    weights = method.select({group: params[group] for group in method.translating}, "a2b")

    @jax.jit
    def run(weights: Any) -> Any:
        made, looks = method.translate(weights, nhwc(a), "a2b", style)
        assert not looks
        return made, method.encode_style(weights, nhwc(b), "a2b")

    made, found = run(weights)
    contents, makers = nets["content_encoders"], nets["generators"]
    content = contents["shared"](contents["a"](torch.tensor(a)))
    expected = makers["b"](makers["shared"](content), torch.tensor(style))
    np.testing.assert_allclose(made, nhwc(expected.detach().numpy()), atol=1e-5)
    mean, _ = nets["attribute_encoders"]["b"](torch.tensor(b))
    np.testing.assert_allclose(found, mean.detach().numpy(), rtol=1e-4, atol=1e-5)


# --- Steps in turn --------------------------------------------------------------------------------


def test_two_steps_of_three_move_the_content_discriminator_alone() -> None:
    method = build_method(make_config())
    moves = [
        [(player.name, player.moves) for player in method.players(method.phase(step))]
        for step in range(6)
    ]
    alone = [("content_discriminator", ("content_discriminator",))]
    assert moves[0] == moves[1] == moves[3] == moves[4] == alone
    assert (
        moves[2]
        == moves[5]
        == [
            ("discriminator", ("discriminators",)),
            *alone,
            ("generator", ("content_encoders", "generators", "attribute_encoders")),
            ("random", ("content_encoders", "generators")),
        ]
    )


def test_the_gradient_of_the_content_discriminator_is_bounded_and_no_other() -> None:
    assert build_method(make_config()).bounds == {"content_discriminator": 5}


def test_draws_are_of_the_step_and_differ_from_each_other() -> None:
    method = build_method(make_config())
    batch = {name: np.zeros((2, *SIZE, 3)) for name in method.inputs}
    found = [method.draw(jax.random.key(step), batch) for step in (0, 0, 1)]
    jax.tree.map(np.testing.assert_array_equal, found[0], found[1])
    leaves = [np.asarray(x) for draws in found[1:] for x in jax.tree.leaves(draws)]
    numbers = np.concatenate([x.ravel() for x in leaves])
    assert len(np.unique(numbers)) > 0.999 * numbers.size
    assert found[0].keys() == set(PASSES)
    assert all(len(x) == 2 for x in leaves)
    assert abs(numbers.mean()) < 0.05 and abs(numbers.std() - 1) < 0.05
