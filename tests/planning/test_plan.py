"""Plans: figures of the real step, what follows from them, and what is said to mistakes."""

import dataclasses
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from readme import ROOT
from steps import creator

from benchmarks import plan_table
from ugatit_jax import plan
from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.planning.chips import GIB, TPUS, find_gpu
from ugatit_jax.planning.collectives import Collective
from ugatit_jax.planning.compiled_step import Figures, load_figures, needed_memory
from ugatit_jax.planning.report import describe
from ugatit_jax.planning.roofline import estimate, fits
from ugatit_jax.planning.search import candidates
from ugatit_jax.planning.topology import Target, find_target, larger
from ugatit_jax.planning.traced_step import Memory

V5E = TPUS["v5e"]
FIGURES = Figures(
    chips=16,
    memory=Memory(GIB, 2 * GIB, 0, 0, program=GIB, total=10 * GIB, refused=False),
    flops=1.97e12,
    compiler_flops=2e12,
    hbm_bytes=4_095_000_000,
    xla_bytes=None,
    collectives=[
        Collective("all-reduce", 2, 10**9 * 4 // 7, 8),
        Collective("all-reduce", 1, 3_125_000, 2, "dcn"),
    ],
    loops_counted=True,
    compile_seconds=60.0,
)


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = plan.main(argv)
    return status, capsys.readouterr().out


def test_the_figures_are_those_of_the_step_and_are_kept(
    tiny_flags: list[str],
    tiny_config: Callable[[], ConfigDict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    argv = [*tiny_flags, "--topology=cpu", "--json"]
    status, text = run(argv, capsys)
    result = json.loads(text)
    figures, memory = result["figures"], result["figures"]["memory"]
    assert status == 0 and result["chips"] == 8 and result["dtype"] == "float32"

    state = jax.eval_shape(creator(tiny_config()))
    parameters = 4 * sum(
        leaf.size for leaf in jax.tree.leaves((state.params["generators"], state.ema))
    )
    judges = 4 * sum(leaf.size for leaf in jax.tree.leaves(state.params["discriminators"]))
    assert memory["parameters"] == parameters // 2 + judges
    assert memory["ema"] == parameters // 2
    moments = 2 * memory["parameters"]
    assert moments <= memory["optimizer"] < moments + 100  # and the counts of steps
    assert memory["total"] > memory["parameters"] + memory["optimizer"] + memory["ema"]

    # All gradients and few losses, once.
    (reduced,) = figures["collectives"]
    assert (reduced["kind"], reduced["group"], reduced["network"]) == ("all-reduce", 8, "ici")
    size = reduced["count"] * reduced["bytes"]
    assert memory["parameters"] < size < memory["parameters"] + 4 * 50 + reduced["count"]
    # XLA counts element-wise work, too, which is little even in so small a network.
    assert figures["flops"] < figures["compiler_flops"] < 1.4 * figures["flops"]
    assert "estimate" not in result
    # A CPU's program does not say where arrays lie.
    assert figures["hbm_bytes"] is None and figures["xla_bytes"] > 3 * memory["parameters"]

    (file,) = (tmp_path / "ugatit_jax" / "plan").iterdir()
    kept = json.loads(file.read_text())
    assert dataclasses.asdict(load_figures(file)) == figures  # type: ignore[call-overload]
    for damaged in ("{", "[]", json.dumps(kept | {"memory": {}})):
        file.write_text(damaged)
        assert load_figures(file) is None


def test_the_least_time_of_a_step() -> None:
    guess = estimate(FIGURES, V5E, steps=36_000)
    assert guess is not None
    assert guess.arithmetic == pytest.approx(10e-3)
    assert guess.memory == pytest.approx(5e-3)
    assert guess.ici == pytest.approx(20e-3)  # 2 GB over two links of 50 GB/s
    assert guess.dcn == pytest.approx(1e-3)  # 3.125 MB at 25 Gbit/s
    assert guess.step == pytest.approx(31e-3)
    assert guess.efficiency == pytest.approx(10 / 31)
    assert guess.hours == pytest.approx(0.31)
    assert guess.chip_hours == pytest.approx(0.31 * 16)
    # With links of the speed that it asks for, nine tenths of the time is computing.
    links = dataclasses.replace(V5E, link=guess.link_needed / V5E.links_of_a_ring)
    inside = dataclasses.replace(FIGURES, collectives=FIGURES.collectives[:1])
    better = estimate(inside, links, steps=1)
    assert better is not None and better.efficiency == pytest.approx(0.9)


def test_memory_is_compared_with_what_a_program_may_take() -> None:
    assert fits(FIGURES, V5E)
    full = dataclasses.replace(FIGURES.memory, total=15.76 * GIB)
    assert not fits(dataclasses.replace(FIGURES, memory=full), V5E)
    refused = dataclasses.replace(FIGURES.memory, total=None, refused=True)
    assert not fits(dataclasses.replace(FIGURES, memory=refused), V5E)


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total "
            "memory required for HLO temporaries (60.50G) exceeds available HBM (15.75G). HLO",
            60.5 * GIB,
        ),
        ("XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 512.00M of "
         "15.75G hbm. Exceeded", 512 * 2**20),
        ("RESOURCE_EXHAUSTED: something else", None),
    ],
)  # fmt: skip
def test_what_a_refused_program_would_have_needed(message: str, needed: float | None) -> None:
    assert needed_memory(message) == needed


def target(chips: int, name: str = "v5e:2x4") -> Target:
    return Target(name, 1, [None] * chips, TPUS[name.partition(":")[0]])


def test_settings_that_take_less_memory_come_from_cheap_to_dear(
    tiny_config: Callable[[], ConfigDict],
) -> None:
    config = tiny_config()
    config.train.batch_size, config.model.light = 48, False
    again = {"train.remat": "all"}
    assert list(candidates(config, target(8), state_fits=True)) == [
        {"train.remat": "convolutions"},
        again,
        again | {"train.accumulate": 2},
        {"model.light": True},
        {"model.light": True} | again,
        again | {"train.batch_size": 8},
        again | {"topology": "v5e:4x4", "train.batch_size": 48},
    ]
    assert list(candidates(config, target(8), state_fits=False)) == [
        {"model.light": True},
        {"model.light": True} | again,
        again | {"topology": "v5e:4x4", "train.batch_size": 48},
    ]
    config.train.remat, config.train.batch_size, config.model.light = "all", 8, True
    assert list(candidates(config, target(8, "v5e:16x16"), state_fits=True)) == []


def test_a_report_on_a_slice_has_time_and_verdict(tiny_config: Callable[[], ConfigDict]) -> None:
    text = describe("x.py", tiny_config(), target(16), FIGURES)
    for line in (
        "x.py on 16 × TPU v5e (v5e:2x4): batch 8, 0.5 per chip, 32x32 px, float32",
        "activations, gradients, workspace    6.000",
        "2 × all-reduce, 8 chips           1.14 GB; 2 GB sent",
        "read and written in HBM           4.09 GB",
        "arithmetic intensity              481.1 FLOP/B; the chip: 241",
        "arithmetic                           10.00 ms ← the bound",
        "links, for 90%                    1.8 TB/s per chip",
        "fits: 10.00 GiB of 15.75 GiB per chip",
    ):
        assert line in text
    by_xla = dataclasses.replace(FIGURES, hbm_bytes=None, xla_bytes=8.19e9)
    text = describe("x.py", tiny_config(), target(16), by_xla)
    assert "memory traffic, as XLA counts     8.19 GB" in text and "HBM" not in text
    assert "memory                               10.00 ms ← the bound" in text
    refused = dataclasses.replace(FIGURES.memory, total=20 * GIB, refused=True)
    nothing: dict[str, Any] = {"hbm_bytes": None, "compiler_flops": None, "collectives": []}
    over = dataclasses.replace(FIGURES, memory=refused, flops=999.6e9, **nothing)
    text = describe("x.py", tiny_config(), target(16), over)
    assert "convolutions     1 TFLOP" in text
    assert "DOES NOT FIT: 20.00 GiB of 15.75 GiB per chip" in text and "time per step" not in text


def test_larger_slices_and_chips_of_gpus() -> None:
    assert larger("v5e:2x4") == "v5e:4x4"
    assert larger("v5p:2x2x1") == "v5p:2x2x2"
    assert larger("v6e:16x16") is None and larger("cpu") is None
    assert find_gpu("NVIDIA H100 80GB HBM3") is not None and find_gpu("NVIDIA T4") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to plan for: say --topology=, one of v4:AxB"),
        (["--topology=v9:2x2"], "--topology=v9:2x2 is none of v4:AxB, v5e:AxB"),
        (["--topology=v5e"], "say how many chips, as in v5e:2x4"),
        (["--topology=v5e:2by4"], "'2by4' is no shape such as 2x4 or 2x2x1"),
        (["--topology=v5e:0x4"], "'0x4' is no shape"),
        (["--topology=v5e:32x32"], "at most 256 chips; take a smaller one and say --slices=N"),
        (["--topology=v5e:2x4", "--slices=0"], "--slices: '0' is no whole number from 1 to 1,024"),
        (["--topology=cpu", "--slices=2"], "--slices=2 is for TPUs"),
        (["--topology=gpu"], "--topology=gpu: JAX finds none on this computer"),
        (["--topology=cpu", "--config.train.batch_size=3"], "say --config.train.batch_size=8"),
        (["--topology=cpu", "--steps=3"], "unknown argument '--steps=3'; there are --config=NAME"),
    ],
)
def test_mistakes(tiny_flags: list[str], arguments: list[str], words: str) -> None:
    with pytest.raises(InputError) as error:
        plan.main.__wrapped__([*tiny_flags, *arguments])  # type: ignore[attr-defined]
    assert words in str(error.value) and "\n" not in str(error.value)


libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)


@libtpu
@pytest.mark.parametrize(
    ("name", "slices", "chips"), [("v4:2x2x1", 1, 4), ("v5p:2x2x1", 1, 4), ("v6e:2x4", 2, 16)]
)
def test_a_device_is_a_chip(name: str, slices: int, chips: int) -> None:
    found = find_target(name, slices)
    assert len(found.devices) == chips and found.is_tpu
    assert dict(make_mesh(found.devices, model=2).shape) == {"data": chips // 2, "model": 2}


@pytest.mark.usefixtures("world_of_libtpu")
@pytest.mark.parametrize("name", ["v4:2x2x1", "v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
def test_the_memory_of_chips_is_what_libtpu_refuses_to_exceed(name: str) -> None:
    found = find_target(name)
    assert found.chip is not None
    everywhere = replicated(make_mesh(found.devices))
    twice = jax.jit(lambda xs: [2 * x for x in xs], donate_argnums=0, in_shardings=everywhere)

    def compile_for(size: float) -> None:
        whole, rest = divmod(size, 4 * GIB)
        sizes = [4 * GIB] * int(whole) + [rest]
        twice.lower(
            [jax.ShapeDtypeStruct((int(n / 4096), 1024), jnp.float32) for n in sizes]
        ).compile()

    compile_for(found.chip.hbm - GIB / 16)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED") as error:
        compile_for(found.chip.hbm + GIB / 16)
    needed = needed_memory(str(error.value))
    assert needed == pytest.approx(found.chip.hbm + GIB / 16, abs=GIB / 32)


@libtpu
def test_a_topology_that_libtpu_does_not_know() -> None:
    with pytest.raises(InputError, match=r"--topology=v5e:3x5: libtpu says .*not divisible"):
        find_target("v5e:3x5")


@pytest.mark.thorough  # it compiles for TPUs, three times
@pytest.mark.usefixtures("world_of_libtpu")
def test_a_step_is_compiled_for_tpus_as_the_page_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)  # its configs
    small = {"base_width": 1, "residual_blocks": 1, "local_layers": 3, "global_layers": 3}
    page = (ROOT / "docs" / "planning.md").read_text()
    (arguments,) = re.findall(r"^ugatit plan ([^#\n]+)", page, re.MULTILINE)
    argv = arguments.split()
    argv += [f"--config.model.{field}={value}" for field, value in small.items()]
    argv += ["--config.data.image_size=(16,16)"]
    status, text = run(argv, capsys)
    assert status == 0
    assert "on 8 × TPU v5e (v5e:2x4): batch 8, 1 per chip, 16x16 px, bfloat16" in text
    assert "of 15.75 GiB per chip" in text and "← the bound" in text
    assert "read and written in HBM" in text

    (file,) = (tmp_path / "ugatit_jax" / "plan").iterdir()
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"flops": 1.25e12}))  # what is kept is what is said
    assert "1.25 TFLOP" in run(argv, capsys)[1]

    argv.remove("--topology=v5e:2x4")
    table, one_row = tmp_path / "plan.md", ["--per_chip=1", "--networks=light"]
    plan_table.main([*argv, "--topologies=v5e:2x4", *one_row, f"--out={table}"])
    assert "| 8 × v5e:2x4 | light | 1 |" in table.read_text() and "| 1.25 |" in table.read_text()


def test_a_method_without_a_lighter_form_has_other_ways_to_fit() -> None:
    config = get_config("cyclegan")
    config.train.batch_size = 4
    target = Target("v5e:2x2", 1, [None] * 4, V5E)
    found = list(candidates(config, target, state_fits=True))
    assert found[0] == {"train.remat": "convolutions"}
    assert not any(field.startswith("model.") for changes in found for field in changes)


def test_a_cyclegan_is_planned_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fields = ["model.base_width=4", "model.residual_blocks=1", "data.image_size=(32, 32)"]
    command = [f"--config={ROOT / 'configs' / 'default.py'}:cyclegan", "--topology=cpu", "--json"]
    command += [f"--config.{field}" for field in [*fields, "train.batch_size=8"]]
    assert plan.main(command) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    # Two generators and discriminators, each with Adam's two moments.
    assert figures["memory"]["optimizer"] == pytest.approx(
        2 * figures["memory"]["parameters"], 0.01
    )
    assert figures["flops"] > 0
