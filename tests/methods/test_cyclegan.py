"""CycleGAN against the same networks, losses and pool written in PyTorch and in plain Python."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pytorch_cyclegan
import torch
from ml_collections import ConfigDict
from pytorch_golden import nhwc

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.inference.translator import Translator
from ugatit_jax.interop import cyclegan as weights
from ugatit_jax.interop import import_weights
from ugatit_jax.methods import build_method, pool
from ugatit_jax.methods.method import Context
from ugatit_jax.training.step import gradients


def make_config(**fields: Any) -> ConfigDict:
    config = get_config("cyclegan")
    small = {"model.base_width": 4, "model.residual_blocks": 1, "data.image_size": (32, 32)}
    config.update_from_flattened_dict(small | fields)
    return config


def test_the_settings_are_the_authors() -> None:
    config = get_config("cyclegan")
    assert config.train.learning_rate == 2e-4 and config.train.weight_decay == 0
    assert config.loss.cycle == 10 and config.loss.identity == 0.5 and config.loss.pool == 50
    for size, blocks in ((256, 9), (128, 6)):
        config.data.image_size = (size, size)
        assert build_method(config).generator.residual_blocks == blocks
    config.data.image_size = (20, 20)
    with pytest.raises(InputError, match=r"too small for discriminators of 3 layers.* 24 px"):
        check_config(config, device_count=1)


@functools.cache
def torch_networks() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    networks = {name: pytorch_cyclegan.generator(4, 1) for name in ("G_A", "G_B")}
    networks |= {name: pytorch_cyclegan.discriminator(4, 3) for name in ("D_A", "D_B")}
    return {name: network.double() for name, network in networks.items()}


def our_params() -> dict[str, Any]:
    states = {
        name: {key: value.numpy() for key, value in network.state_dict().items()}
        for name, network in torch_networks().items()
    }
    return {
        "generators": {
            way: weights.import_generator(states[name]) for way, name in weights.GENERATORS.items()
        },
        "discriminators": {
            domain: weights.import_discriminator(states[name])
            for domain, name in weights.DISCRIMINATORS.items()
        },
    }


def test_losses_and_gradients_are_those_of_pytorch() -> None:
    nets = torch_networks()
    rng = np.random.default_rng(0)
    a, b, old_a, old_b = (torch.tensor(rng.uniform(-1, 1, (2, 3, 32, 32))) for _ in range(4))
    square, absolute = torch.nn.MSELoss(), torch.nn.L1Loss()
    one, zero = (lambda x: torch.ones_like(x)), (lambda x: torch.zeros_like(x))
    fake_b, fake_a = nets["G_A"](a), nets["G_B"](b)
    # Their D_A judges what G_A makes, pictures of B.
    judged = [nets[name](fake) for name, fake in (("D_A", fake_b), ("D_B", fake_a))]
    g_loss = sum(square(x, one(x)) for x in judged)
    g_loss += 10 * (absolute(nets["G_B"](fake_b), a) + absolute(nets["G_A"](fake_a), b))
    g_loss += 5 * (absolute(nets["G_A"](b), b) + absolute(nets["G_B"](a), a))
    of_g = torch.autograd.grad(g_loss, nets["G_A"].parameters(), retain_graph=True)
    d_loss: Any = 0
    for name, real, fake in (("D_A", b, old_b), ("D_B", a, old_a)):
        on_real, on_fake = nets[name](real), nets[name](fake)
        d_loss += (square(on_real, one(on_real)) + square(on_fake, zero(on_fake))) / 2
    of_d = torch.autograd.grad(d_loss, nets["D_A"].parameters())

    with jax.enable_x64(True):
        method = build_method(make_config())
        method = type(method)(
            method.generator.clone(dtype=jnp.float64),
            method.discriminator.clone(dtype=jnp.float64),
            method.weights,
            method.image_size,
        )
        batch = {"a": nhwc(a.numpy()), "b": nhwc(b.numpy())}
        seen = {"a": nhwc(old_a.numpy()), "b": nhwc(old_b.numpy())}

        @jax.jit
        def run(params: Any) -> Any:
            opened = jax.vjp(lambda p: method.first(p, batch, ()), params)
            context = Context(batch, (), seen, {}, ())
            return [
                gradients(player, params, opened, context) for player in method.players("train")
            ]

        (g_grads, g_terms), (d_grads, d_terms) = run(our_params())
    np.testing.assert_allclose(g_terms["total"], g_loss.item(), rtol=1e-8)
    np.testing.assert_allclose(d_terms["total"], d_loss.item(), rtol=1e-8)
    ours = weights.export_generator(jax.device_get(g_grads["generators"]["a2b"]))
    compare(ours, nets["G_A"], of_g)
    ours = weights.export_discriminator(jax.device_get(d_grads["discriminators"]["b"]))
    compare(ours, nets["D_A"], of_d)


def compare(ours: dict[str, Any], network: torch.nn.Module, theirs: Any) -> None:
    names = [name for name, _ in network.named_parameters()]
    assert sorted(names) == sorted(ours)
    for name, gradient in zip(names, theirs, strict=True):
        np.testing.assert_allclose(ours[name], gradient.numpy(), rtol=1e-4, atol=1e-9, err_msg=name)


def test_a_pool_hands_out_the_newest_or_an_earlier_one_whose_place_it_takes() -> None:
    size, state = 3, pool.empty_pool(3, {"x": jax.ShapeDtypeStruct((), jnp.float32)})
    exchange = jax.jit(pool.exchange)
    there: list[float] = []
    swaps = 0
    for step in range(60):
        newest = np.arange(2 * step, 2 * step + 2, dtype=np.float32)
        state, seen = exchange(state, {"x": newest}, jax.random.key(step))
        for item, out in zip(newest.tolist(), np.asarray(seen["x"]).tolist(), strict=True):
            if len(there) < size:
                there.append(item)
                assert out == item
            elif out != item:
                swaps += 1
                there[there.index(out)] = item
        assert sorted(there) == sorted(np.asarray(state["items"]["x"])[: len(there)].tolist())
    assert int(state["count"]) == size
    assert 40 < swaps < 78  # of 117: half, within three deviations


def test_files_of_the_authors_become_a_run_that_translates_as_pytorch_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, network in torch_networks().items():
        torch.save(network.float().state_dict(), tmp_path / f"latest_net_{name}.pth")
    source, run = tmp_path / "latest_net_G_A.pth", tmp_path / "run"
    assert import_weights.main([str(source), str(run), "--image_size=32"]) == 0
    assert "CycleGAN, width 4, 1 residual blocks" in capsys.readouterr().out
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    x = torch.tensor(picture.transpose(2, 0, 1)[None] / 127.5 - 1, dtype=torch.float32)
    translator = Translator.load(run)
    for direction, name in weights.GENERATORS.items():
        theirs = nhwc(torch_networks()[name](x).detach().numpy())[0]
        ours = translator(picture, direction)
        np.testing.assert_allclose(ours, (theirs + 1) * 127.5, atol=0.51)
    with pytest.raises(InputError, match="shifts=2 of cyclegan: 1, 2 or 4, of ugatit alone"):
        Translator.load(run, shifts=2)
    (tmp_path / "latest_net_G_B.pth").unlink()
    with pytest.raises(SystemExit):
        import_weights.main([str(source), str(tmp_path / "other")])
    assert "there is no " in capsys.readouterr().err
    torch_networks.cache_clear()
