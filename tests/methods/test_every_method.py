"""What every method must have, on tiny networks: a new one joins by a line of `TINY`.

To compile is what takes time here. So one short training of each method serves all its tests, its
first state and its step are made once, and convolutions have the form that compiles fastest:
tests/models/test_convolution.py holds it to the others.
"""

import dataclasses
import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
import tiny_vgg
from jax.sharding import Mesh
from ml_collections import ConfigDict
from PIL import Image
from steps import first_state
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from ugatit_jax import evaluate, plan, translate
from ugatit_jax.config.fields import get_config
from ugatit_jax.data import images
from ugatit_jax.devices import sharding
from ugatit_jax.devices.sharding import make_mesh, place_batch, replicated
from ugatit_jax.inference import jobs
from ugatit_jax.inference.exporting import export_run
from ugatit_jax.inference.mapped import draw_style
from ugatit_jax.inference.options import Options
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import METHODS, build_method
from ugatit_jax.methods.method import Method
from ugatit_jax.models import convolution
from ugatit_jax.training.loop import TrainSteps, train

SCALES = {"model.discriminator_layers": 2, "model.discriminator_scales": 2}
SMALL = {"model.base_width": 4, "model.residual_blocks": 1}
TINY: dict[str, dict[str, Any]] = {
    "ugatit": SMALL | {"model.light": True, "model.local_layers": 3, "model.global_layers": 4},
    "cyclegan": SMALL | {"model.discriminator_layers": 2, "loss.pool": 12},
    "unit": SMALL | SCALES,
    "munit": SMALL | SCALES | {"loss.cycle": 0.0},
    "drit": SMALL
    | {"model.discriminator_layers": 1, "model.discriminator_scales": 2}
    | {"model.content_discriminator_layers": 0},
    "aggan": SMALL
    | {"model.attention_width": 4, "model.discriminator_width": 4, "model.discriminator_layers": 2}
    | {"train.attention_steps": 2, "loss.pool": 12},
    "cartoongan": SMALL
    | {"model.discriminator_width": 4, "train.content_steps": 2, "loss.pool": 12}
    | {"loss.content_network": "tiny"},
}
# Of those, one with styles, and one with phases, a pool, a fixed network and one direction.
STAND_FOR_OTHERS = ("munit", "cartoongan")
STEPS, SIZE = 4, (16, 16)
FEATURES = "efficientnet-lite0"


class Run(NamedTuple):
    config: ConfigDict
    method: Method  # a mapped one
    folder: Path


def make_config(name: str, pictures: Path) -> ConfigDict:
    config = get_config(name)
    common = {
        "data.source": str(pictures),
        "data.image_size": SIZE,
        "train.steps": STEPS,
        "train.batch_size": 8,
        "train.ema_decay": 0.5,
        "train.remat": "convolutions",
        "log_every": 1,
        "samples.every": 2,
        "samples.count": 2,
        "eval.every": STEPS,
        "eval.features": FEATURES,
        "checkpoint.every": 1,
        "checkpoint.keep": STEPS,
    }
    config.update_from_flattened_dict(common | TINY[name])
    if "content_network" in config.loss:
        config.loss.content_network = str(tiny_vgg.save(pictures.parent / "vgg16.pth"))
    return config


@pytest.fixture(scope="module", autouse=True)
def made_once() -> Iterator[None]:
    compile_step, create_on = TrainSteps.compile, sharding.create_on
    steps: dict[Any, jax.stages.Compiled] = {}
    states: dict[Any, Any] = {}

    def compile_once(training: Any, phase: str, *args: Any) -> jax.stages.Compiled:
        key = type(training._method), phase, training._mesh.size
        if key not in steps:
            steps[key] = compile_step(training, phase, *args)
        return steps[key]

    def create_once(mesh: Mesh, create: functools.partial[Any], split: Any) -> Any:
        key = type(create.args[0])
        if key not in states:
            states[key] = create_on(mesh, create, split)
        return states[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainSteps, "compile", compile_once)
        patch.setattr(sharding, "create_on", create_once)
        patch.setattr(convolution, "choose_form", plain_form)
        jax.clear_caches()  # forms are traced once for all layers of a shape
        yield
    jax.clear_caches()


def plain_form(height: int, width: int, kernel: tuple[int, ...], stride: int) -> convolution.Form:
    return functools.partial(convolution.convolve_plainly, stride=stride)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in STAND_FOR_OTHERS else pytest.mark.thorough)
        for name in METHODS
    ],
)
def run(
    request: pytest.FixtureRequest,
    made_once: None,
    pictures: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """A short training of each method, which the tests of it share."""
    config = make_config(request.param, pictures)
    folder = tmp_path_factory.mktemp(request.param) / "run"
    assert train(config, folder) == STEPS
    return Run(config, build_method(config, mapped=True), folder)


@pytest.fixture(scope="module")
def translator(run: Run) -> Translator:
    return Translator.load(run.folder)


def arrays(folder: Path, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint by name, read without the program."""
    found = {}
    for item in ("translating", "ema", "training"):
        tree = ocp.StandardCheckpointer().restore(folder / "checkpoints" / str(step) / item)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            found[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found


def test_one_device_with_parts_computes_what_eight_with_remat_compute(run: Run) -> None:
    method, train_of_eight = run.method, run.config.train
    config = run.config.copy_and_resolve_references()
    config.train.accumulate, config.train.remat = 2, "none"
    rng = np.random.default_rng(0)
    noise = {x: rng.integers(0, 256, (8, *SIZE, 3), np.uint8) for x in method.inputs}
    eight, one = make_mesh(), make_mesh(jax.devices()[:1])
    state = first_state(run.config, eight)
    state_of_one = jax.device_put(jax.device_get(state), replicated(one))
    steps = TrainSteps(method, train_of_eight, 0, eight)
    steps_of_one = TrainSteps(build_method(config, mapped=True), config.train, 0, one)
    first_of = {method.phase(step): step for step in reversed(range(STEPS))}
    for step in sorted({0, 1, *first_of.values()}):
        phase = method.phase(step)
        state, ours = steps(phase, state, place_batch(noise, eight))
        state_of_one, theirs = steps_of_one(phase, state_of_one, place_batch(noise, one))
        assert ours.keys() == theirs.keys()
        for name, value in jax.device_get(theirs).items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-6, err_msg=name)


def test_what_was_stopped_goes_on_to_the_same_bits(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    for step in (STEPS - 1, STEPS):
        shutil.rmtree(folder / "checkpoints" / str(step))
    assert train(run.config, folder) == STEPS
    ours, theirs = arrays(folder, STEPS), arrays(run.folder, STEPS)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_who_has_a_turn_moves_nobody_else_does_and_the_average_follows(run: Run) -> None:
    found = {step: arrays(run.folder, step) for step in range(1, STEPS + 1)}
    groups = {group for player in run.method.all_players() for group in player.moves}
    for step in range(2, STEPS + 1):
        before, after = found[step - 1], found[step]
        averages = [name for name in after if name.startswith("ema")]
        assert averages
        for name in averages:
            expected = (before[name] + after[name.replace("ema", "translating", 1)]) / 2
            np.testing.assert_allclose(after[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)
        players = run.method.players(run.method.phase(step - 1))
        for group in groups:
            names = [x for x in after if f"['{group}']" in x and x not in averages]
            moved = any((before[x] != after[x]).any() for x in names)
            assert moved == any(group in player.moves for player in players), (step, group)


def test_it_samples_and_takes_its_kid(run: Run) -> None:
    for step in (2, STEPS):
        grid = np.asarray(Image.open(run.folder / "samples" / f"step_{step:07d}.png"))
        assert grid.std() > 10
    assert (run.folder / "kid.png").is_file()
    [point] = json.loads((run.folder / "kid.json").read_text())["points"]
    assert point.keys() == {"step", "date", *run.method.directions}
    assert all(np.isfinite(point[way]["mean"]) for way in run.method.directions)


def test_what_warnings_look_at_is_what_it_logs(run: Run) -> None:
    events = EventAccumulator(str(run.folder), size_guidance={"tensors": 0}).Reload()
    logged, method = set(events.Tags()["tensors"]), run.method
    assert method.undecided.keys() <= logged and method.undecided
    if run.config.loss.get("cycle"):
        assert {*method.returning} <= logged and method.returning


def test_it_translates_files_and_exports_what_does_the_same(
    run: Run, translator: Translator, pictures: Path, tmp_path: Path
) -> None:
    export_run(run.folder, tmp_path / "export")
    for way in run.method.directions:
        folder, out = pictures / f"test{way[0].upper()}", tmp_path / way
        command = [str(run.folder), str(folder), f"--out={out}", f"--direction={way}"]
        assert translate.main(command) == 0
        planned = jobs.plan([folder], out, Options(direction=way))
        sources = np.stack([images.cover_resize(images.decode(x.source), SIZE) for x in planned])
        numbered = [
            dataclasses.replace(translator.prepare(x), number=job.number)
            for x, job in zip(sources, planned, strict=True)
        ]
        ours = np.stack([x.picture for x in translator.translate(numbered, way)]).astype(int)
        written = np.stack([images.decode(job.outputs["translation"]) for job in planned])
        np.testing.assert_allclose(written.astype(int), ours, atol=1)
        assert np.abs(ours - sources).mean() > 1

        weights = safetensors.numpy.load_file(tmp_path / "export" / f"{way}.safetensors")
        files = [tmp_path / "export" / f"{name}.stablehlo" for name in ("generator", way)]
        program = jax.export.deserialize(next(x for x in files if x.is_file()).read_bytes())
        styles = np.stack([draw_style(run.method, 0, job.number) for job in planned])
        arguments = (sources, styles) if run.method.style_size else (sources,)
        np.testing.assert_allclose(jax.jit(program.call)(weights, *arguments), ours, atol=1)


def test_it_is_evaluated(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(run.folder), f"--features={FEATURES}"]) == 0
    report = json.loads((run.folder / "evaluation" / str(STEPS) / "report.json").read_text())
    assert report["method"] == run.config.method
    assert report["directions"].keys() == set(run.method.directions)
    for scores in report["directions"].values():
        assert np.isfinite(scores["rows"]["translated"]["kid_x100"]["mean"])
    assert ("in a random style of its own" in capsys.readouterr().out) == bool(
        run.method.style_size
    )


def test_it_is_planned(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # of figures
    command = [f"--config={run.folder / 'config.json'}", "--topology=cpu", "--json"]
    assert plan.main(command) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    count = sum(x.size for x in arrays(run.folder, 1).values())
    assert 0 < figures["memory"]["parameters"] < 4 * count
    assert figures["flops"] > 0


# --- Styles -------------------------------------------------------------------------------------


def refusal(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as refused:
        translate.main(command)
    assert refused.value.code == 2
    return capsys.readouterr().err


def test_random_styles_are_the_same_for_all_pictures(
    run: Run,
    translator: Translator,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    way = run.method.directions[0]
    folder, out = pictures / "testA", tmp_path / "out"
    command = [str(run.folder), str(folder), f"--out={out}", f"--direction={way}", "--styles=2"]
    if not run.method.style_size:
        assert refusal(command, capsys) == (
            "error: these networks have no styles: leave the style out\n"
        )
        return
    assert translate.main([*command, "--seed=3"]) == 0
    names = sorted(x.stem for x in folder.iterdir())
    expected = [f"{name}_style{k}.png" for name in names for k in (1, 2)]
    assert sorted(x.name for x in out.glob("*.png")) == expected
    first = images.decode(folder / f"{names[0]}.png")
    found = []
    for k in (1, 2):
        style = draw_style(run.method, 3, k)
        ours = translator.details(first, way, style=style).picture
        found.append(images.decode(out / f"{names[0]}_style{k}.png").astype(int))
        np.testing.assert_allclose(found[-1], ours, atol=1)
    assert np.abs(found[0] - found[1]).max() > 2
    grid = out / "styles" / "grid.png"
    assert np.asarray(Image.open(grid)).shape[0] > len(names) * SIZE[0]
    assert grid not in images.list_images(out)
    assert translate.main([*command, "--seed=3"]) == 0
    assert "0 pictures translated, 6 were there already" in capsys.readouterr().out
    assert "style seed 3, now seed 0" in refusal(command, capsys)


def test_a_pictures_style_is_that_of_the_domain_that_it_is_in(
    run: Run,
    translator: Translator,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, other = pictures / "testA", pictures / "testB" / "0.png"
    command = [str(run.folder), str(folder), f"--out={tmp_path / 'out'}", f"--style={other}"]
    if not run.method.encodes_styles:
        said = refusal(command, capsys)
        assert "no styles" in said or "cannot tell a picture's style: take random" in said
        return
    assert translate.main(command) == 0
    style = translator.encode_style(images.decode(other))
    weights = translator.weights["a2b"]
    cut = images.to_float(images.cover_resize(images.decode(other), SIZE)[None])
    method = build_method(run.config)
    expected = jax.jit(lambda w, x: method.encode_style(w, x, "a2b"))(jax.device_get(weights), cut)
    np.testing.assert_allclose(style, expected[0], rtol=1e-4, atol=1e-6)
    of_another = translator.encode_style(images.decode(folder / "0.png"))
    assert np.abs(style - of_another).max() > 1e-3 * np.abs(style).max()
    ours = translator.details(images.decode(folder / "0.png"), style=style).picture
    np.testing.assert_allclose(images.decode(tmp_path / "out" / "0.png"), ours.astype(int), atol=1)
    said = json.loads((tmp_path / "out" / "translated.jsonl").read_text().splitlines()[0])
    assert said["style"].startswith("of 0.png (")

    export_run(run.folder, tmp_path / "export", directions=["a2b"])
    exported = Translator.load(tmp_path / "export")
    np.testing.assert_allclose(exported.encode_style(images.decode(other)), style, rtol=1e-5)
    program = jax.export.deserialize((tmp_path / "export" / "style.stablehlo").read_bytes())
    file = safetensors.numpy.load_file(tmp_path / "export" / "a2b.safetensors")
    picture = images.cover_resize(images.decode(other), SIZE)
    np.testing.assert_allclose(
        jax.jit(program.call)(file, picture[None])[0], style, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--styles=0"], "--styles: '0' is no whole number from 1 to 100"),
        (["--seed=-1"], "--seed: '-1' is no whole number of 0 or more"),
        (["--styles=2", "--style=x.png"], "--style takes a picture's style, --styles and --seed"),
        (["--style=nowhere.png"], "nowhere.png"),
    ],
)
def test_styles_that_cannot_be_are_told(
    arguments: list[str],
    said: str,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["emoji", str(pictures / "testA"), f"--out={tmp_path / 'out'}", *arguments]
    assert said in refusal(command, capsys)
