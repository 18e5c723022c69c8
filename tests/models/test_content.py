"""UNIT's and MUNIT's networks against the same of PyTorch's layers."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_munit
import torch
from pytorch_golden import nhwc

from ugatit_jax.interop import munit, state_dict
from ugatit_jax.models.content import ContentEncoder, Decoder, adain_size
from ugatit_jax.models.multiscale_discriminator import MultiscaleDiscriminator, minimum_size
from ugatit_jax.models.style import AdaINMLP, StyleEncoder

WIDTH, BLOCKS, STYLE = 4, 2, 3


class Munit(nn.Module):
    """All of a domain's networks, of a picture, a content and a style."""

    def setup(self) -> None:
        kinds: dict[str, Any] = {"base_width": WIDTH, "dtype": jnp.float64}
        self.content_encoder = ContentEncoder(residual_blocks=BLOCKS, **kinds)
        self.style_encoder = StyleEncoder(STYLE, **kinds)
        self.mlp = AdaINMLP(adain_size(WIDTH, BLOCKS), 4 * WIDTH, dtype=jnp.float64)
        self.decoder = Decoder(residual_blocks=BLOCKS, **kinds)

    def __call__(self, x: jax.Array, content: jax.Array, style: jax.Array) -> Any:
        decoded = self.decoder(content, self.mlp(style))
        return self.content_encoder(x), self.style_encoder(x), decoded


class Unit(nn.Module):
    """A domain's encoder and decoder, of a picture and a content."""

    def setup(self) -> None:
        kinds: dict[str, Any] = {"base_width": WIDTH, "dtype": jnp.float64}
        self.encoder = ContentEncoder(residual_blocks=BLOCKS, **kinds)
        self.decoder = Decoder(residual_blocks=BLOCKS, **kinds)

    def __call__(self, x: jax.Array, content: jax.Array) -> Any:
        return self.encoder(x), self.decoder(content)


def ours_and_theirs(
    net: nn.Module, names: Mapping[str, str], theirs: Any, call: Any, *inputs: np.ndarray
) -> None:
    """Compare outputs, and the gradients of their weighted sums by inputs and parameters."""
    theirs = pytorch_munit.randomize(theirs, 0).double()
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    outputs = call(theirs, *tensors)
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=out.shape) for out in outputs]
    sum(((out * torch.tensor(w)).sum() for out, w in zip(outputs, weights, strict=True))).backward()

    def turned(x: Any) -> Any:
        x = x.detach().numpy() if isinstance(x, torch.Tensor) else x
        return nhwc(x) if x.ndim == 4 else x

    states = {name: value.numpy() for name, value in theirs.state_dict().items()}
    with jax.enable_x64(True):
        ours_in = [jnp.asarray(turned(x)) for x in inputs]
        shapes = jax.eval_shape(net.init, jax.random.key(0), *ours_in)["params"]
        params = state_dict.import_network(states, names, shapes, unused=munit.STATISTICS)

        @jax.jit
        def pull_back(params: Any, inputs: Any, weights: Any) -> Any:
            out, back = jax.vjp(lambda p, xs: net.apply({"params": p}, *xs), params, inputs)
            return out, *back(jax.tree.map(lambda w, o: w.reshape(o.shape), weights, out))

        ours, of_params, of_inputs = pull_back(params, ours_in, tuple(turned(w) for w in weights))
    for out, expected in zip(ours, outputs, strict=True):
        np.testing.assert_allclose(out, turned(expected).reshape(out.shape), atol=1e-9)
    for gradient, tensor in zip(of_inputs, tensors, strict=True):
        np.testing.assert_allclose(gradient, turned(tensor.grad), rtol=1e-4, atol=1e-8)
    gradients = state_dict.export_network(jax.device_get(of_params), names)
    assert gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(
            gradients[name], parameter.grad, rtol=1e-4, atol=1e-8, err_msg=name
        )


def test_munits_networks_are_pytorchs() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, (2, 3, 24, 20)), rng.normal(size=(2, 16, 6, 5))
    ours_and_theirs(
        Munit(),
        munit.munit_names(BLOCKS),
        pytorch_munit.Munit(WIDTH, BLOCKS, STYLE),
        lambda net, x, c, s: (net.enc_content(x), net.enc_style(x), net.decode(c, s)),
        *(*inputs, rng.normal(size=(2, STYLE))),
    )


def test_units_networks_are_pytorchs() -> None:
    rng = np.random.default_rng(0)
    ours_and_theirs(
        Unit(),
        munit.unit_names(BLOCKS),
        pytorch_munit.Unit(WIDTH, BLOCKS),
        lambda net, x, c: (net.enc(x), net.dec(c)),
        *(rng.uniform(-1, 1, (2, 3, 24, 20)), rng.normal(size=(2, 16, 6, 5))),
    )


@pytest.mark.parametrize("size", [(40, 36), (31, 29)])  # odd maps, and scales of odd sides
def test_the_discriminator_is_pytorchs(size: tuple[int, int]) -> None:
    layers, scales = 2, 3
    ours_and_theirs(
        MultiscaleDiscriminator(WIDTH, layers, scales, dtype=jnp.float64),
        munit.discriminator_names(layers, scales),
        pytorch_munit.Discriminator(WIDTH, layers, scales),
        lambda net, x: net(x),
        np.random.default_rng(0).uniform(-1, 1, (2, 3, *size)),
    )


def test_a_discriminator_takes_its_smallest_picture() -> None:
    for layers, scales in ((4, 3), (3, 2)):
        side = minimum_size(layers, scales)
        theirs = pytorch_munit.Discriminator(1, layers, scales)
        smallest = theirs(torch.zeros(1, 3, side, side))[-1]
        assert smallest.shape == (1, 1, 1, 1)
        picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        net = MultiscaleDiscriminator(1, layers, scales)
        out, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), picture)
        assert out[-1].shape == (1, 1, 1)
        with pytest.raises(RuntimeError, match="Padding size should be less"):
            theirs(torch.zeros(1, 3, side // 2, side // 2))


def test_full_size_has_the_parameters_of_the_original() -> None:
    picture = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    content = jax.ShapeDtypeStruct((1, 64, 64, 256), jnp.float32)
    style = jax.ShapeDtypeStruct((1, 8), jnp.float32)
    adain = jax.ShapeDtypeStruct((1, 4096), jnp.float32)
    assert adain_size(64, 4) == 4096
    cases: list[tuple[nn.Module, tuple[Any, ...], int]] = [
        (MultiscaleDiscriminator(), (picture,), 8_271_171),
        (ContentEncoder(), (picture,), 5_385_856),
        (Decoder(), (content,), 5_754_627),
        (Decoder(), (content, adain), 5_754_627),
        (StyleEncoder(), (picture,), 2_764_936),
        (AdaINMLP(4096), (style,), 1_120_768),
    ]
    for net, inputs, count in cases:
        variables = jax.eval_shape(net.init, jax.random.key(0), *inputs)
        assert sum(x.size for x in jax.tree.leaves(variables)) == count


def test_bfloat16_stays_near_float32_and_returns_float32() -> None:
    x = jax.random.uniform(jax.random.key(1), (2, 32, 32, 3), minval=-1)
    for net in (StyleEncoder(base_width=8), MultiscaleDiscriminator(8, 2, 2)):
        expected, variables = jax.jit(net.init_with_output)(jax.random.key(0), x)
        out = jax.jit(net.clone(dtype=jnp.bfloat16).apply)(variables, x)
        for ours, theirs in zip(jax.tree.leaves(out), jax.tree.leaves(expected), strict=True):
            assert ours.dtype == jnp.float32
            difference = np.abs(ours - theirs)
            assert 0 < difference.mean() < 0.02 * np.abs(theirs).mean()
