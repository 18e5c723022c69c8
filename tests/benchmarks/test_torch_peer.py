"""The peer of our benchmarks against the recorded steps of the authors' PyTorch implementation."""

import functools
import json
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_golden import DATA, Golden

from benchmarks.peers.torch_peer import COMPILED, EAGER, PLAIN, Form, Peer

FORMS = {"plain": PLAIN, "channels_last": EAGER, "compiled": COMPILED}
STEPS = (1, 2, 3)
# PyTorch's own, as it traces a network for compiling.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


def peer_of(golden: Golden, form: Form) -> Peer:
    """The peer with the recorded first weights; `load_state_dict` is strict about their names."""
    theirs = json.loads(str(golden.arrays["config_json"]))
    shape = {"width": theirs["ch"], "blocks": theirs["n_blocks"], "size": theirs["img_size"]}
    with pytest.MonkeyPatch.context() as patch:
        # All that compiling does but for the generated code, which takes minutes.
        compile_module = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")
        patch.setattr(torch.nn.Module, "compile", compile_module)
        peer = Peer(light=theirs["light"], form=form, **shape)
    for name, network in peer.networks.items():
        state = golden.state_dict(f"init/{name}/")
        tensors = {key: torch.from_numpy(value) for key, value in state.items()}
        network.double().load_state_dict(tensors)
    return peer


def pictures(golden: Golden, form: Form, step: int) -> list[torch.Tensor]:
    layout = torch.channels_last if form.channels_last else torch.contiguous_format
    batch = [golden.arrays[f"input/step{step}/real_{domain}"] for domain in "AB"]
    return [torch.from_numpy(x).double().contiguous(memory_format=layout) for x in batch]


@functools.cache
def run_three_steps(case: str, form: str) -> tuple[Golden, list[dict[str, Any]]]:
    """In float64; each record is {'loss', 'grad', 'state'}: by names as those of the records."""
    golden = Golden(case, np.float64)
    peer, records = peer_of(golden, FORMS[form]), []
    gradients: dict[str, np.ndarray] = {}

    def keep_gradients(kind: str) -> Any:
        def hook(*_: Any) -> None:
            for name, network in peer.networks.items():
                if name.startswith(kind):
                    for key, param in network.named_parameters():
                        gradients[f"{name}/{key}"] = param.grad.numpy().copy()

        return hook

    for kind, optimizer in peer.optimizers.items():
        optimizer.register_step_pre_hook(keep_gradients(kind))
    for n in STEPS:
        losses = peer.step(*pictures(golden, FORMS[form], n))
        record: dict[str, Any] = {"loss": {k: float(loss) for k, loss in losses.items()}}
        record["grad"] = dict(gradients)
        record["state"] = {
            f"{name}/{key}": value.numpy().copy()
            for name, network in peer.networks.items()
            for key, value in network.state_dict().items()
        }
        records.append(record)
    return golden, records


RUNS = [(case, form) for case in ("light", "full") for form in ("plain", "channels_last")]
RUNS += [pytest.param("light", "compiled", marks=pytest.mark.thorough)]
each_run = pytest.mark.parametrize(("case", "form"), RUNS)


@each_run
def test_losses_of_three_steps_are_the_recorded_ones(case: str, form: str) -> None:
    golden, records = run_three_steps(case, form)
    for n, record in zip(STEPS, records, strict=True):
        recorded = golden.losses(n)
        sums = {"D_loss_A", "D_loss_B", "G_loss_A", "G_loss_B"}  # the totals are of these
        assert record["loss"].keys() == recorded.keys() - sums
        for name, loss in record["loss"].items():
            np.testing.assert_allclose(loss, recorded[name], rtol=1e-8, err_msg=f"{n} {name}")


@each_run
def test_gradients_of_the_first_step_are_the_recorded_ones(case: str, form: str) -> None:
    golden, records = run_three_steps(case, form)
    assert len(records[0]["grad"]) > 100
    for name, ours in records[0]["grad"].items():
        recorded, sampled = golden.gradient(*name.split("/"))
        ours, recorded = ours.reshape(-1), recorded.reshape(-1)
        if sampled:
            ours = ours[np.linspace(0, ours.size - 1, 256).round().astype(np.int64)]
        difference = np.linalg.norm(ours - recorded)
        assert difference <= 1e-3 * np.linalg.norm(recorded), name  # recorded in float32


@each_run
@pytest.mark.parametrize(("n", "tolerance"), [(1, 0.02), (3, 0.15)])
def test_weights_after_the_steps_are_the_recorded_ones(
    case: str, form: str, n: int, tolerance: float
) -> None:
    golden, records = run_three_steps(case, form)
    ours = records[n - 1]["state"]
    recorded = golden.state_dict(f"after{n}/")
    assert ours.keys() == recorded.keys()
    for name, value in ours.items():  # singular vectors, too
        distance = np.abs(value - recorded[name]).mean()
        assert distance < tolerance * 1e-4, name  # 1e-4 is the learning rate
        if name.endswith("rho"):
            assert value.min() >= 0 and value.max() <= 1


@pytest.mark.parametrize("form", ["plain", "channels_last"])
def test_translations_are_the_recorded_ones(form: str) -> None:
    golden = Golden("light", np.float64)
    peer = peer_of(golden, FORMS[form])
    a, b = pictures(golden, FORMS[form], 1)
    for direction, network, x in (("a2b", "genA2B", a), ("b2a", "genB2A", b)):
        results = zip(("image", "cam_logit", "heatmap"), peer.generate(direction, x), strict=True)
        for name, result in results:
            recorded = golden.arrays[f"fwd/{network}/{name}"]
            np.testing.assert_allclose(result.detach().numpy(), recorded, atol=2e-4)


SCHEDULES = json.loads((DATA / "pt_lr_schedule.json").read_text())["cases"]


@pytest.mark.parametrize("case", [case for case in SCHEDULES if not case["resume"]])
def test_learning_rate_is_the_recorded_one_but_never_negative(case: dict[str, Any]) -> None:
    peer = Peer(light=True, width=1, blocks=1, size=96, steps=case["iteration"])
    generators = peer.optimizers["gen"]
    for rate in case["lr"].values():
        assert generators.param_groups[0]["lr"] == pytest.approx(max(rate, 0), abs=1e-15)
        generators.step()
        peer.schedules["gen"].step()


@pytest.mark.parametrize("form", ["plain", "channels_last"])
def test_pictures_go_in_and_come_out_as_levels(form: str) -> None:
    rng = np.random.default_rng(0)
    batch = {d: rng.integers(0, 256, (2, 32, 48, 3), np.uint8) for d in "ab"}
    peer = Peer(light=True, width=2, blocks=1, size=32, layers=(3, 4), form=FORMS[form])
    losses = peer.train(batch)
    assert all(loss.isfinite() for loss in losses.values())
    x = peer.place(batch["a"])
    assert tuple(x.shape) == (2, 3, 32, 48) and x.min() >= -1 and x.max() <= 1
    peer.networks["genA2B"].forward = lambda x: (x, None, None)
    np.testing.assert_array_equal(peer.translate(batch["a"], "a2b"), batch["a"])
