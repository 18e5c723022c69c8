"""Two processes of four devices each: they compute what one does, stop as one, and end as one."""

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from ml_collections import ConfigDict
from processes import MAIN, error_of, free_port, run, said
from steps import batches_of, compile_step, first_state
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tensorboard.util import tensor_util  # type: ignore[import-untyped]
from test_sharding import gradients

from ugatit_jax.config.flags import parse_flags
from ugatit_jax.devices.sharding import make_mesh, place_batch
from ugatit_jax.methods import build_method
from ugatit_jax.methods.state import translating
from ugatit_jax.runs import checkpoints

MakeConfig = Callable[[], ConfigDict]

# main, in which process PROCESS gets the signal NUMBER after its step STEP.
HIT = """
import os, sys
import jax
from ugatit_jax import main
from ugatit_jax.training import loop
number, step, process = map(int, sys.argv[1:4])
advance = loop.Log.advance
def advance_and_hit(log, now, *args, **kwargs):
    advance(log, now, *args, **kwargs)
    if (now, jax.process_index()) == (step, process):
        os.kill(os.getpid(), number)
loop.Log.advance = advance_and_hit
sys.exit(main.main(sys.argv[4:]))
"""

# Saves what a process gives its devices of the first two batches, and what it hears.
SHARES = """
import sys
import jax, numpy as np
from ugatit_jax.config.flags import parse_flags
from ugatit_jax.data import datasets, input_pipeline
from ugatit_jax.devices import distributed, sharding
folder = sys.argv[1]
command = parse_flags(sys.argv[2:])
config = command.config
distributed.start(command.cluster)
me, mesh = jax.process_index(), sharding.make_mesh()
dataset = datasets.open_dataset(config.data)
streams = {"a": datasets.Stream(dataset.train_a), "b": datasets.Stream(dataset.train_b)}
batches = input_pipeline.train_batches(
    streams, config.data, config.seed, config.train.batch_size, 0, me, jax.process_count()
)
rows = {}
for step in range(2):
    for domain, pictures in sharding.place_batch(next(batches), mesh).items():
        for shard in pictures.addressable_shards:
            rows[f"{step} {domain} {shard.index[0].start}"] = np.asarray(shard.data)
np.savez(f"{folder}/shares{me}.npz", **rows)
distributed.wait_for_all("loaded")
any_process = distributed.AnyProcess(mesh)
print([any_process.wants(call == 2 and me == 1) for call in range(5)])
"""


# What is wrong in one process ends both, before anything is compiled.


def test_one_process_without_pictures(tiny_flags: list[str], tmp_path: Path) -> None:
    wrong = ["--config.data.source=/nowhere"]
    first, second = run([*MAIN, *tiny_flags, f"--workdir={tmp_path / 'run'}"], ([], wrong))
    assert "process 1 of 2 cannot go on; it says why itself" in error_of(first)
    assert "there is no folder /nowhere" in error_of(second)


def test_one_process_with_another_config_and_a_batch_for_seven(
    tiny_flags: list[str], tmp_path: Path
) -> None:
    command = [*MAIN, *tiny_flags, f"--workdir={tmp_path / 'run'}"]
    for result in run(command, ([], ["--config.train.learning_rate=1"])):
        assert "error: config: process 1 has not the same as process 0" in error_of(result)
    for result in run([*command, "--config.train.batch_size=12"]):
        assert "batch_size is 12, which 8 devices cannot share evenly" in error_of(result)


def test_processes_load_one_global_batch_between_them_and_hear_each_other(
    tiny_flags: list[str], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    for status, stdout, stderr in run(["-c", SHARES, str(tmp_path), *tiny_flags]):
        assert status == 0, stderr
        assert stdout.endswith("[False, False, False, True, False]\n")
    config = tiny_config()
    batches = batches_of(config)
    whole = [next(batches), next(batches)]
    for i in range(2):
        with np.load(tmp_path / f"shares{i}.npz") as rows:
            assert len(rows) == 2 * 2 * 4
            for name, row in rows.items():
                step, domain, start = name.split()
                assert int(start) // 4 == i
                expected = whole[int(step)][domain][int(start) : int(start) + 1]
                np.testing.assert_array_equal(row, expected)


# Training.


def steps_in(workdir: Path) -> set[int]:
    return {int(path.name) for path in (workdir / "checkpoints").iterdir()}


def read(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint by name, whatever devices it was written on."""
    arrays = {}
    for item in ("translating", "ema", "training"):
        reader, path = ocp.PyTreeCheckpointer(), workdir / "checkpoints" / str(step) / item
        as_numpy = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), reader.metadata(path).item_metadata
        )
        tree = reader.restore(path, ocp.args.PyTreeRestore(restore_args=as_numpy))
        for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            arrays[item + jax.tree_util.keystr(keys)] = np.asarray(leaf)
    return arrays


def assert_same_bits(workdir: Path, other: Path, step: int) -> None:
    ours, theirs = read(workdir, step), read(other, step)
    assert ours.keys() == theirs.keys() and len(ours) > 100
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def flags(tiny_flags: list[str]) -> list[str]:
    """Those of a tiny training that keeps every checkpoint."""
    # With seed 0 something lies so near a kink (of a ReLU, or of the L1 losses) that its gradient
    # depends on the last bits: 0.3 % of a2b's, and none of the other networks'.
    return [*tiny_flags, "--config.checkpoint.keep=9", "--config.seed=1"]


@pytest.fixture(scope="module")
def straight(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of four steps in two processes that nothing disturbed.

    It has what Slurm gives to two tasks; process 1 has said nothing.
    """
    workdir = tmp_path_factory.mktemp("processes") / "run"
    job = str(free_port() % 4096)  # JAX makes the port of it
    first, second = run(
        [*MAIN, *flags, f"--workdir={workdir}"],
        env=(slurm(job, 0), slurm(job, 1)),
    )
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert f"training in {workdir} from step 0 to 4" in first[1]
    assert said(second[1]) == []
    return workdir


def slurm(job: str, process: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": job,
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(process),
        "SLURM_LOCALID": str(process),
    }


@pytest.mark.cluster
@pytest.mark.parametrize("devices", [8, 1])
def test_losses_and_gradients_are_those_of_one_process(
    straight: Path, flags: list[str], devices: int
) -> None:
    config, mesh = parse_flags(flags).config, make_mesh(jax.devices()[:devices])
    batch = place_batch(next(batches_of(config)), mesh)
    state = first_state(config, mesh)
    state, metrics = compile_step(config, mesh, state, batch)(state, batch, ())

    events = EventAccumulator(str(straight), size_guidance={"tensors": 0}).Reload()
    for name, value in jax.device_get(metrics).items():
        of_two = tensor_util.make_ndarray(events.Tensors(name)[0].tensor_proto)
        np.testing.assert_allclose(of_two, value, rtol=1e-5, err_msg=name)
    _, saved = checkpoints.restore_state(straight, 1)
    for group in ("generators", "discriminators"):
        of_two, expected = gradients(saved, group), gradients(state, group)
        assert of_two.keys() == expected.keys() and len(expected) > 20
        for name, gradient in expected.items():
            distance = np.linalg.norm(of_two[name] - gradient)
            assert distance < 1e-4 * np.linalg.norm(gradient), name


@pytest.mark.cluster
@pytest.mark.parametrize("devices", [8, 1])
def test_the_checkpoint_of_two_processes_comes_back_in_one(
    straight: Path, tiny_config: MakeConfig, tmp_path: Path, devices: int
) -> None:
    workdir = shutil.copytree(straight, tmp_path / "run")
    mesh = make_mesh(jax.devices()[:devices])
    config = tiny_config()
    state = first_state(config, mesh)
    with checkpoints.open_checkpoints(workdir, config.checkpoint) as manager:
        state = checkpoints.restore(manager, build_method(config), state, workdir)
    assert int(state.step) == 4
    arrays = read(straight, 4)
    for name, tree in (
        ("translating", translating(build_method(config), state.params)),
        ("ema", state.ema),
    ):
        leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
        assert len(leaves) > 50
        for path, leaf in leaves:
            expected = arrays[name + jax.tree_util.keystr(path)]
            np.testing.assert_array_equal(leaf, expected)
            assert len(leaf.sharding.device_set) == devices


@pytest.mark.cluster
def test_one_process_writes(straight: Path) -> None:
    assert len(list(straight.glob("events.*"))) == 1
    (start,) = json.loads((straight / "run.json").read_text())["starts"]
    assert len(start["devices"]) == 8
    assert steps_in(straight) == {1, 2, 3, 4}
    grids = sorted(path.name for path in (straight / "samples").iterdir())
    assert grids == ["evolution.webp", "step_0000002.png", "step_0000004.png"]


@pytest.mark.cluster
def test_stopped_by_one_and_killed_in_one_the_run_goes_on_to_the_same_bits(
    straight: Path, flags: list[str], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    run_ = [*flags, f"--workdir={workdir}", "--heartbeat_timeout=10"]

    # Process 1 is asked to stop, and both do.
    first, second = run(["-c", HIT, str(int(signal.SIGTERM)), "1", "1", *run_])
    assert first[0] == second[0] == 130, first[2] + second[2]
    assert "SIGTERM: ending, as all processes will, after this step" in second[1]
    (step,) = map(int, re.findall(r"stopped at step (\d), saved", first[1]))
    assert step in (2, 3)  # the wish is heard one step later
    assert steps_in(workdir) == set(range(1, step + 1))
    assert_same_bits(workdir, straight, step)

    # As if it had been stopped at step 1, for something to be left to do.
    for later in range(2, step + 1):
        shutil.rmtree(workdir / "checkpoints" / str(later))
    since = time.monotonic()
    first, second = run(["-c", HIT, str(int(signal.SIGKILL)), "3", "1", *run_])
    assert second[0] == -signal.SIGKILL
    assert first[0] not in (0, 2, 130)
    assert time.monotonic() - since < 280
    assert "process 0 of 2 cannot go on, most likely because another one has ended" in first[2]
    assert 4 not in steps_in(workdir)

    first, second = run([*MAIN, *run_])
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert re.search(r"from step [123] to 4", first[1])
    assert_same_bits(workdir, straight, 4)
