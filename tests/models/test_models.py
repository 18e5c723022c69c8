"""The networks against the authors' PyTorch implementation, and against plain formulas."""

import functools
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax.traverse_util import flatten_dict
from pytorch_golden import DATA, DISCRIMINATORS, GENERATORS, LAYERS, Golden, nhwc

from ugatit_jax.config import fields
from ugatit_jax.interop import pytorch
from ugatit_jax.methods import build_method
from ugatit_jax.models import (
    REMAT,
    Finish,
    Generator,
    layers,
    minimum_size,
    normalization,
    translate,
)
from ugatit_jax.models.generator import means

FULL_SIZE = json.loads((DATA / "pt_fullsize_shapes.json").read_text())


@pytest.fixture(scope="module", params=["light", "full"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_generator_gives_the_recorded_pictures_logits_and_heat_maps(golden, direction):
    name, domain = GENERATORS[direction], direction[0]
    translate = jax.jit(golden.method.generator.apply)
    out = translate({"params": golden.generators("init")[direction]}, golden.batch(1)[domain])
    recorded = golden.state_dict(f"fwd/{name}/")
    np.testing.assert_allclose(out.image, nhwc(recorded["image"]), atol=1e-5)
    np.testing.assert_allclose(out.cam_logits, recorded["cam_logit"], atol=2e-5)
    np.testing.assert_allclose(out.heatmap, recorded["heatmap"][:, 0], atol=1e-4)


@pytest.mark.parametrize(("domain", "scale"), DISCRIMINATORS)
def test_discriminator_gives_the_recorded_logits_and_heat_maps(golden, domain, scale):
    params, spectral = golden.discriminators("init")
    variables = {"params": params[domain][scale], "spectral": spectral[domain][scale]}
    discriminator = golden.method.discriminators[scale]
    out = jax.jit(discriminator.apply)(variables, golden.batch(1)[domain])
    recorded = golden.state_dict(f"eval/{DISCRIMINATORS[domain, scale]}/")
    np.testing.assert_allclose(out.logits, recorded["logit"][:, 0], atol=1e-5)
    np.testing.assert_allclose(out.cam_logits, recorded["cam_logit"], atol=1e-5)
    np.testing.assert_allclose(out.heatmap, recorded["heatmap"][:, 0], atol=1e-5)


@pytest.mark.parametrize("variant", ["full", "light"])
def test_paper_size_has_the_parameters_of_the_original_one_to_one(variant):
    config = fields.get_config("light" if variant == "light" else "")
    theirs, picture = FULL_SIZE[variant], jnp.zeros((1, 256, 256, 3))
    nets = {"genA2B": build_method(config).generator}
    nets |= {f"dis{s[0].upper()}A": net for s, net in build_method(config).discriminators.items()}
    for name, net in nets.items():
        shapes = {key: shape for key, shape, _ in theirs[name]["state_dict"]}
        empty = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}
        if name == "genA2B":
            expected = {"params": pytorch.import_generator(empty, config.model.residual_blocks)}
        else:
            depth = LAYERS["local" if name == "disLA" else "global"]
            params, spectral = pytorch.import_discriminator(empty, depth)
            expected = {"params": params, "spectral": spectral}
        ours = jax.eval_shape(net.init, jax.random.key(0), picture)
        assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, expected)
        assert sum(x.size for x in jax.tree.leaves(ours["params"])) == theirs[name]["parameters"]
        assert len(jax.tree.leaves(ours)) == theirs[name]["n_tensors"]


@pytest.mark.parametrize("size", [(48, 80), (64, 48)])
@pytest.mark.parametrize("variant", ["", "light"])
def test_rectangular_pictures(variant, size):
    config = fields.get_config(variant)
    config.model.base_width, config.model.global_layers = 8, 6
    picture = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    generator = build_method(config).generator
    variables = jax.eval_shape(generator.init, jax.random.key(0), picture)
    out = jax.eval_shape(generator.apply, variables, picture)
    assert out.image.shape == picture.shape
    assert out.heatmap.shape == (2, size[0] // 4, size[1] // 4)
    fan_in = variables["params"]["mlp"]["fc_0"]["kernel"].shape[0]
    assert fan_in == 32 * (1 if variant == "light" else size[0] // 4 * size[1] // 4)


def test_a_light_generator_that_sees_every_part_of_the_map_is_the_full_one() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    full = Generator(base_width=4, residual_blocks=1)
    params = full.init(jax.random.key(0), x[:, :, :16])["params"]
    light = full.clone(light=True, mlp_pool=4)
    assert light.apply({"params": params}, x[:, :, :16]).image.tolist() == (
        full.apply({"params": params}, x[:, :, :16]).image.tolist()
    )
    assert not light.any_size and full.full and not light.full
    features = np.random.default_rng(1).normal(size=(2, 4, 6, 3)).astype(np.float32)
    of_torch = torch.nn.functional.adaptive_avg_pool2d(
        torch.tensor(features.transpose(0, 3, 1, 2)), (2, 2)
    )
    expected = of_torch.numpy().transpose(0, 2, 3, 1).reshape(2, -1)
    np.testing.assert_allclose(
        means(jnp.asarray(features), 2, 2).reshape(2, -1), expected, atol=1e-6
    )


@pytest.mark.parametrize("depth", [3, 5, 7])
def test_minimum_size_is_the_smallest_that_works(depth):
    config = fields.get_config()
    config.model.base_width, config.model.global_layers = 8, depth
    net = build_method(config).discriminators["global"]

    def logits(side: int) -> tuple[int, ...]:
        picture = jnp.zeros((1, side, side, 3))
        return jax.eval_shape(net.init_with_output, jax.random.key(0), picture)[0].logits.shape

    assert logits(minimum_size(depth)) == (1, 1, 1)
    # One pixel less leaves no logit, or nothing to mirror at the border.
    with pytest.raises((AssertionError, ValueError, TypeError, ZeroDivisionError)):
        assert min(logits(minimum_size(depth) - 1)) >= 1


def test_bfloat16_stays_near_float32_and_returns_float32():
    golden = Golden("light")
    params, pictures = golden.generators("init")["a2b"], golden.batch(1)["a"]
    narrow = golden.method.generator.clone(dtype=jnp.bfloat16)
    out = jax.jit(narrow.apply)({"params": params}, pictures)
    assert {x.dtype for x in out} == {jnp.dtype(jnp.float32)}
    recorded = nhwc(golden.arrays["fwd/genA2B/image"])
    assert np.abs(out.image - recorded).mean() < 0.02


def test_instance_layer_normalize_is_the_papers_equation():
    key = iter(jax.random.split(jax.random.key(0), 4))
    x = 3 + 2 * jax.random.normal(next(key), (2, 5, 6, 7))
    rho, gamma, beta = (jax.random.uniform(next(key), s) for s in ((7,), (2, 7), (2, 7)))

    def standardize(axis: tuple[int, ...]) -> np.ndarray:
        mean, var = np.mean(x, axis, keepdims=True), np.var(x, axis, ddof=1, keepdims=True)
        return (np.asarray(x) - mean) / np.sqrt(var + 1e-5)

    mixed = rho * standardize((1, 2)) + (1 - rho) * standardize((1, 2, 3))
    expected = gamma[:, None, None] * mixed + beta[:, None, None]
    ours = normalization.instance_layer_normalize(x, rho, gamma, beta)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_power_iteration_finds_the_largest_singular_value():
    conv = layers.Conv(6, 3, spectral_norm=True)
    picture = jax.random.normal(jax.random.key(1), (1, 8, 8, 4))
    variables = conv.init(jax.random.key(0), picture)
    params, spectral = variables["params"], variables["spectral"]
    for _ in range(100):
        spectral = layers.power_iteration(params, spectral)
    matrix = np.asarray(params["kernel"]).reshape(-1, 6)
    sigma = np.linalg.svd(matrix, compute_uv=False)[0]
    np.testing.assert_allclose(spectral["v"] @ matrix @ spectral["u"], sigma, rtol=1e-5)
    plain = layers.convolve(picture, jnp.asarray(params["kernel"] / sigma), 1)
    out = conv.apply({"params": params, "spectral": spectral}, picture)
    np.testing.assert_allclose(out, plain, atol=1e-5)


def test_initializers_draw_what_they_say():
    for name, deviation in (("normal", 0.02), ("uniform", 1 / np.sqrt(3 * 3 * 32) / np.sqrt(3))):
        config = fields.get_config("light")
        config.model.base_width, config.model.residual_blocks = 8, 1
        config.model.initializer = name
        init = jax.jit(build_method(config).generator.init)
        params = flatten_dict(init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"])
        kernel = params["encoder_0", "conv_0", "kernel"]
        np.testing.assert_allclose(np.std(kernel), deviation, rtol=0.05)
        assert np.all(params["decoder_0", "norm_0", "rho"] == np.float32(0.9))
        assert np.all(params["up_0", "norm", "rho"] == 0)


def test_generator_gives_the_recorded_inner_activations(golden):
    generator = golden.method.generator
    params, picture = golden.generators("init")["a2b"], golden.batch(1)["a"]
    encode = layers.ResidualBlock(layers.Conv, generator.conventions)
    decode = layers.ResidualBlock(layers.Conv, generator.conventions, normalization.DecoderNorm)

    def apply_block(name, x, *style):
        block = decode if style else encode
        return block.apply({"params": params[name]}, x, *style)

    forward = jax.jit(functools.partial(generator.apply, capture_intermediates=True))
    _, state = forward({"params": params}, picture)
    inner = {
        name.removesuffix("/__call__"): outputs[0]
        for name, outputs in flatten_dict(state["intermediates"], sep="/").items()
    }
    # The blocks go in a loop, which gives nothing of what is inside: here one by one.
    encoded = apply_block("encoder_1", apply_block("encoder_0", nn.relu(inner["down_norm_2"])))
    style = inner["mlp/gamma"], inner["mlp/beta"]
    decoded = apply_block("decoder_0", inner["cam"][0], style)
    recorded = golden.state_dict("act/genA2B/")
    ours = {
        "DownBlock": encoded,
        "conv1x1": inner["cam/conv1x1"],
        "FC": jax.nn.relu(inner["mlp/fc_1"]),
        "gamma": inner["mlp/gamma"],
        "beta": inner["mlp/beta"],
        "UpBlock1_1": decoded,
        "UpBlock1_2": apply_block("decoder_1", decoded, style),
    }
    assert ours.keys() == recorded.keys()
    for name, value in recorded.items():
        expected = nhwc(value) if value.ndim == 4 else value
        np.testing.assert_allclose(ours[name], expected, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_what_rematerialisation_keeps_for_the_backward_pass(network: str) -> None:
    config, kept = fields.get_config("light"), {}
    pictures = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.float32)
    for remat in REMAT:
        config.train.remat = remat
        module = build_method(config).generator
        if network == "discriminator":
            module = build_method(config).discriminators["local"]
        variables = jax.eval_shape(module.init, jax.random.key(0), pictures)

        def pull_back(variables: Any, x: Any, module: Any = module) -> Any:
            return jax.vjp(lambda v: module.apply(v, x), variables)[1]

        residuals = jax.tree.leaves(jax.eval_shape(pull_back, variables, pictures))
        parameters = sum(x.size for x in jax.tree.leaves(variables))
        kept[remat] = sum(x.size for x in residuals) - parameters
    assert kept["all"] == 96 * 96 * 3  # the picture
    assert kept["all"] < kept["convolutions"] < kept["none"] / 4


@pytest.mark.parametrize("skip", ["low", "full"])
def test_a_skip_adds_the_input_or_its_low_frequencies(skip: str) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    generator = Generator(base_width=4, residual_blocks=1, light=True, skip=skip)
    params = generator.init(jax.random.key(0), x)["params"]
    nothing = params | {"to_rgb": {"kernel": jnp.zeros_like(params["to_rgb"]["kernel"])}}
    image = generator.apply({"params": nothing}, x).image
    expected = x
    if skip == "low":
        means = x.reshape(2, 4, 4, 6, 4, 3).mean((2, 4))
        resized = torch.nn.functional.interpolate(
            torch.tensor(means.transpose(0, 3, 1, 2)), scale_factor=4, mode="bilinear"
        )
        expected = resized.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(image, expected, atol=1e-6)
    plain = generator.clone(skip="none").apply({"params": params}, x).image
    said = np.arctanh(plain)
    assert 0.1 < (np.abs(said) < 0.2).mean() < 0.9
    found = generator.apply({"params": params}, x).image
    np.testing.assert_allclose(found, expected + said, atol=1e-4)
    less = translate(generator, params, jnp.asarray(x), Finish(soft_threshold=0.2)).image
    shrunk = torch.nn.functional.softshrink(torch.tensor(said), 0.2).numpy()
    np.testing.assert_allclose(less, expected + shrunk, atol=1e-4)


@pytest.mark.parametrize("norm", ["instance", "layer and instance"])
def test_a_normalisation_keeps_its_input_as_narrow_as_it_is(norm: str) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4), jnp.bfloat16)
    rho, gamma, beta = jnp.full(4, 0.3), jnp.ones((2, 4)), jnp.zeros((2, 4))

    def normalize(x: jax.Array) -> jax.Array:
        if norm == "instance":
            return normalization.instance_normalize(x)
        return normalization.instance_layer_normalize(x, rho, gamma, beta)

    _, pull_back = jax.vjp(normalize, x)
    large = [kept for kept in jax.tree.leaves(pull_back) if kept.size >= x.size]
    assert large and all(kept.dtype == jnp.bfloat16 for kept in large)
    # The gradient is that of float32, rounded.
    wide, g = x.astype(jnp.float32), jax.random.normal(jax.random.key(1), x.shape, jnp.bfloat16)
    (expected,) = jax.vjp(normalize, wide)[1](g.astype(jnp.float32))
    np.testing.assert_allclose(*map(np.float32, (pull_back(g)[0], expected)), atol=0.03)
