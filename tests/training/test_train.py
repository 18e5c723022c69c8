"""The real loop on a small data set: what it writes, and that stopping it changes nothing."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from bucket import Store
from ml_collections import ConfigDict
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tensorboard.util import tensor_util  # type: ignore[import-untyped]

from ugatit_jax import translate
from ugatit_jax.config.records import different_fields, load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import storage
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.main import main
from ugatit_jax.methods.method import Method
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.runs.directory import held, saved_steps
from ugatit_jax.training import loop

MakeConfig = Callable[[], ConfigDict]
pytestmark = pytest.mark.usefixtures("compiled_once")
GENERATORS = "translating['generators']"


@pytest.fixture(scope="module")
def straight(
    compiled_once: None, tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The directory of a run of four steps that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("straight") / "run"
    assert loop.train(tiny_config(), workdir) == 4
    return workdir


@pytest.fixture(scope="module")
def scalars(straight: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows of it: {name: {step: value}}."""
    events = EventAccumulator(str(straight), size_guidance={"tensors": 0}).Reload()
    return {
        tag: {e.step: float(tensor_util.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
        if tag != "samples"
    }


def steps_in(workdir: Path) -> set[int]:
    return {int(path.name) for path in (workdir / "checkpoints").iterdir()}


def read(workdir: AnyPath, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint by name, read without the program."""
    arrays = {}
    for item in ("translating", "ema", "training"):
        path = workdir / "checkpoints" / str(step) / item
        for keys, leaf in jax.tree_util.tree_flatten_with_path(
            ocp.StandardCheckpointer().restore(path)
        )[0]:
            arrays[item + jax.tree_util.keystr(keys)] = np.asarray(leaf)
    return arrays


def assert_same_bits(workdir: AnyPath, other: Path, step: int) -> None:
    ours, theirs = read(workdir, step), read(other, step)
    assert ours.keys() == theirs.keys() and len(ours) > 100
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def ctrl_c_after(step: int) -> Callable[..., None]:
    """`Log.advance`, but that somebody presses Ctrl-C when this step is written down."""
    advance = loop.Log.advance

    def press_ctrl_c(log: loop.Log, now: int, *args: Any, **kwargs: Any) -> None:
        advance(log, now, *args, **kwargs)
        if now == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press_ctrl_c


def test_a_stopped_run_goes_on_to_the_same_bits(
    straight: Path,
    tiny_flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = tmp_path / "run"
    command = [*tiny_flags, "--config.checkpoint.every=3", f"--workdir={workdir}"]
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Log, "advance", ctrl_c_after(1))
        assert main(command) == 130
    said = capsys.readouterr().out
    assert "SIGINT: ending after this step (again: at once)" in said
    assert "stopped at step 2, saved; the same command goes on from there" in said
    assert steps_in(workdir) == {2}
    assert signal.getsignal(signal.SIGINT) is before
    assert_same_bits(workdir, straight, 2)

    # As if the power had failed in the middle of a later one.
    half = workdir / "checkpoints" / "3.orbax-checkpoint-tmp"
    half.mkdir()
    (half / "_CHECKPOINT_METADATA").write_text("{")
    assert main(command) == 0
    assert f"training in {workdir} from step 2 to 4" in capsys.readouterr().out
    assert steps_in(workdir) == {2, 3, 4}
    assert_same_bits(workdir, straight, 3)
    assert_same_bits(workdir, straight, 4)
    starts = json.loads((workdir / "run.json").read_text())["starts"]
    assert [start["step"] for start in starts] == [0, 2]


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    straight: Path, tiny_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(straight, workdir)
    files = (workdir / "checkpoints" / "4" / "training").rglob("*")
    largest = max((x for x in files if x.is_file()), key=lambda x: x.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-100])
    assert loop.train(tiny_config(), workdir) == 4
    assert f"training in {workdir} from step 3 to 4" in capsys.readouterr().out
    assert (workdir / "damaged" / "4").is_dir()
    assert_same_bits(workdir, straight, 4)


def test_a_run_in_a_bucket_goes_on_to_the_same_bits_and_translates(
    straight: Path,
    pictures: Path,
    tiny_flags: list[str],
    tmp_path: Path,
    bucket: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in pictures.rglob("*.png"):
        name = f"my pictures/{file.relative_to(pictures).as_posix()}"
        bucket.put("bucket", name, file.read_bytes())
    fields = ["data.source=gs://bucket/my pictures", "checkpoint.every=4", "samples.every=4"]
    workdir = "gs://bucket/runs/tiny"
    command = [*tiny_flags, *(f"--config.{x}" for x in fields), f"--workdir={workdir}"]
    with monkeypatch.context() as patch:
        patch.setattr(loop.Log, "advance", ctrl_c_after(1))
        assert main(command) == 130
    # As if the power had failed while the last one was written.
    bucket.put("bucket", "runs/tiny/checkpoints/4/translating/d/0", b"half")
    assert main(command) == 0
    assert f"training in {workdir} from step 2 to 4" in capsys.readouterr().out
    names = bucket.names("bucket")
    assert "runs/tiny/checkpoints/4/translating/d/0" not in names
    assert saved_steps(storage.open_path(workdir)) == [2, 4]
    assert_same_bits(storage.open_path(workdir), straight, 4)
    assert load_config(storage.open_path(workdir) / "config.json").data.source == fields[0][12:]
    starts = json.loads(bucket.objects["bucket", "runs/tiny/run.json"][1])["starts"]
    assert [start["step"] for start in starts] == [0, 2]
    assert "runs/tiny/samples/step_0000004.png" in names

    for name in names:
        if name.startswith("runs/tiny/events."):
            (tmp_path / name.rpartition("/")[2]).write_bytes(bucket.objects["bucket", name][1])
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Tensors("generator/total")] == [1, 2, 3, 4]
    lines = bucket.objects["bucket", "runs/tiny/scalars.jsonl"][1].splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]

    assert translate.main([workdir, str(pictures / "testA"), f"--out={tmp_path / 'out'}"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"{i}.png" for i in range(3)),
        "translated.jsonl",
    }


def test_checkpoints_are_kept_by_number_and_at_intervals(straight: Path) -> None:
    assert steps_in(straight) == {2, 3, 4}


def test_the_config_is_in_the_directory(straight: Path, tiny_config: MakeConfig) -> None:
    assert different_fields(load_config(straight / "config.json"), tiny_config()) == {}


def test_scalars_have_every_loss_at_every_step(scalars: dict[str, dict[int, float]]) -> None:
    expected = {"learning_rate", "steps_per_second", "images_per_second"}
    for network, terms in {
        "generator": ("total", "adversarial", "cycle", "identity", "cam"),
        "discriminator": ("total", "adversarial"),
    }.items():
        expected |= {f"{network}/{term}" for term in terms}
        expected |= {
            f"{network}/adversarial/{cam}{scale}_{domain}"
            for cam in ("", "cam_")
            for scale in ("local", "global")
            for domain in ("a", "b")
        }
    expected |= {f"generator/{term}/{domain}" for term in ("cycle", "identity") for domain in "ab"}
    expected |= {"at_bound/rho"}
    expected |= {f"{network}/gradient/{network}s" for network in ("generator", "discriminator")}
    expected |= {"generator/cam/a2b", "generator/cam/b2a", "norm/generators", "norm/discriminators"}
    assert {name for name in scalars if not name.startswith("rho/")} == expected
    assert all(values.keys() == {1, 2, 3, 4} for values in scalars.values())


def test_scalars_add_up(scalars: dict[str, dict[int, float]]) -> None:
    for step in range(1, 5):
        value = {name: values[step] for name, values in scalars.items()}
        for term in (
            "generator/adversarial",
            "generator/cycle",
            "generator/cam",
            "discriminator/adversarial",
        ):
            parts = sum(v for name, v in value.items() if name.startswith(f"{term}/"))
            assert value[term] == pytest.approx(parts, rel=1e-5)
        assert value["discriminator/total"] == pytest.approx(value["discriminator/adversarial"])
        assert value["generator/total"] == pytest.approx(
            value["generator/adversarial"]
            + 10 * (value["generator/cycle"] + value["generator/identity"])
            + 1000 * value["generator/cam"],
            rel=1e-5,
        )
        assert value["images_per_second"] == pytest.approx(2 * 8 * value["steps_per_second"])


def test_learning_rate_falls_to_zero_in_the_second_half(
    scalars: dict[str, dict[int, float]],
) -> None:
    assert list(scalars["learning_rate"].values()) == pytest.approx([1e-4, 1e-4, 0.5e-4, 0])


def test_rho_and_norms_are_those_of_the_checkpoint(
    scalars: dict[str, dict[int, float]], straight: Path
) -> None:
    arrays = read(straight, 4)
    generators = {name: x for name, x in arrays.items() if name.startswith(GENERATORS)}
    rhos = {name: x for name, x in generators.items() if name.endswith("['rho']")}
    assert len(rhos) == len([name for name in scalars if name.startswith("rho/")]) / 3 == 8
    for name, rho in rhos.items():
        layer = "/".join(name.removeprefix(GENERATORS).strip("[']").split("']['")[:-1])
        assert scalars[f"rho/{layer}/mean"][4] == pytest.approx(rho.mean())
        assert scalars[f"rho/{layer}/min"][4] == rho.min() >= 0
        assert scalars[f"rho/{layer}/max"][4] == rho.max() <= 1
    length = np.sqrt(sum(np.square(x, dtype=np.float64).sum() for x in generators.values()))
    assert scalars["norm/generators"][4] == pytest.approx(length)


def test_the_moving_average(straight: Path) -> None:
    before, after = read(straight, 3), read(straight, 4)
    names = [name.removeprefix("ema") for name in after if name.startswith("ema")]
    assert len(names) > 50
    for name in names:
        expected = 0.75 * before[f"ema{name}"] + 0.25 * after[f"translating{name}"]
        np.testing.assert_allclose(after[f"ema{name}"], expected, rtol=1e-5, atol=1e-7)


def test_sample_grids(straight: Path) -> None:
    film, *files = sorted((straight / "samples").iterdir())
    assert film.name == "evolution.webp"
    assert [file.name for file in files] == ["step_0000002.png", "step_0000004.png"]
    first, last = (np.asarray(Image.open(file)) for file in files)
    assert first.shape == last.shape
    assert (first != last).any()
    events = EventAccumulator(str(straight), size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("samples")] == [2, 4]


def test_another_architecture_is_refused_and_nothing_is_touched(
    straight: Path, tiny_config: MakeConfig
) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*")}
    config = tiny_config()
    config.model.base_width = 8
    with pytest.raises(InputError, match=r"another architecture: config.model.base_width is 8 and"):
        loop.train(config, straight)
    assert {path: path.stat().st_mtime_ns for path in straight.rglob("*")} == before


def test_a_finished_run_says_so_and_what_has_changed(
    straight: Path, tiny_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config()
    config.train.learning_rate = 2e-4
    assert loop.train(config, straight, changed=True) == 4
    said = capsys.readouterr().out
    assert "from here on config.train.learning_rate is 0.0002 and was 0.0001" in said
    assert f"nothing to do: {straight} is at step 4 of 4" in said
    assert "compiling" not in said


def test_a_run_goes_on_as_another_only_if_asked_to(
    straight: Path,
    pictures: Path,
    tiny_flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir, others = tmp_path / "run", tmp_path / "pictures"
    shutil.copytree(straight, workdir)
    shutil.rmtree(workdir / "checkpoints" / "4")
    shutil.copytree(pictures, others)
    (others / "trainA" / "8.png").unlink()
    (others / "trainB" / "0.png").rename(others / "trainB" / "other.png")
    command = [*tiny_flags, f"--workdir={workdir}"]
    command += [f"--config.data.source={others}", "--config.log_every=2"]
    differences = (
        f"config.data.source is '{others}' and was '{pictures}'",
        "config.log_every is 2 and was 1",
        "the pictures of train_a are 8 and were 9",
        "the pictures of train_b are others and were 8",
    )
    with pytest.raises(SystemExit) as refused:
        main(command)
    said = capsys.readouterr()
    assert refused.value.code == 2 and said.err.count("\n") == 1
    assert said.err == (
        f"error: the run in {workdir} was another: {'; '.join(differences)}. Say --continue to go "
        "on like this, or take what it had, or another --workdir\n"
    )
    assert "drawing" not in said.out and steps_in(workdir) == {2, 3}

    assert main([*command, "--continue"]) == 0
    said = capsys.readouterr()
    for difference in differences:
        assert f"from here on {difference}\n" in said.out
    assert f"training in {workdir} from step 3 to 4" in said.out
    assert steps_in(workdir) == {2, 3, 4}
    assert load_config(workdir / "config.json").log_every == 2
    # From now on it is what it has become.
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main([*tiny_flags, f"--workdir={workdir}", "--continue"]) == 0
    assert "from here on config.log_every is 1 and was 2" in capsys.readouterr().out


def test_two_trainings_in_one_directory(
    straight: Path, tiny_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(straight), pytest.raises(InputError, match=f"another training runs in {straight}:"):
        loop.train(tiny_config(), straight)
    assert capsys.readouterr().out == ""
    assert loop.train(tiny_config(), straight) == 4  # the other one has ended


def test_a_diverging_run_stops_with_the_name_and_saves_nothing(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_huge(method: Method, train: ConfigDict, seed: int) -> TrainState:
        state = create_state(method, train, seed)
        huge = jax.tree.map(lambda x: 1e30 * x, state.params["generators"])
        return state.replace(params=state.params | {"generators": huge})

    monkeypatch.setattr(loop, "create_state", create_huge)
    config = tiny_config()
    config.log_every = 100  # found all the same: nothing is saved unseen
    with pytest.raises(FloatingPointError, match=r"^\w+/\w+ is (nan|inf) at step 1, which is not"):
        loop.train(config, tmp_path / "run")
    assert steps_in(tmp_path / "run") == set()
