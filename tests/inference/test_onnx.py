"""Every method's translation in ONNX, run by onnxruntime, against the method itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ugatit_jax.config.fields import get_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.export import main
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Method, weight_shapes

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from ugatit_jax.inference.onnx_export import build_onnx, export_onnx  # noqa: E402
from ugatit_jax.inference.onnx_graph import Graph, write  # noqa: E402
from ugatit_jax.inference.onnx_int8 import (  # noqa: E402
    LAYERS,
    calibration_pictures,
    to_int8,
)
from ugatit_jax.inference.onnx_rules import RULES  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs"
VARIANTS = ["", "light", "light,ours", "light,gn", "light,tensorflow"]
VARIANTS += ["cyclegan", "unit", "munit", "drit", "aggan", "cartoongan"]


def small(variant: str) -> tuple[Method, Any]:
    config = get_config(variant)
    config.data.image_size = (64, 64)
    config.model.base_width = 4
    config.model.residual_blocks = 1
    method, rng = build_method(config), np.random.default_rng(0)
    shapes = weight_shapes(method, method.directions[0])
    return method, jax.tree.map(lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32), shapes)


def run(model: Any, feed: dict[str, np.ndarray]) -> np.ndarray:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(model.SerializeToString(), options).run(None, feed)[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_onnx_translates_as_the_method_does(variant: str) -> None:
    method, weights = small(variant)
    way = method.directions[0]
    model, rng = build_onnx(method, way, weights), np.random.default_rng(1)
    other_size = [(1, 72, 96)] if method.any_size else []
    assert method.any_size == (variant != "")  # full generators take the training's size alone
    for count, height, width in ((2, 64, 64), *other_size):
        feed = {"pictures": rng.integers(0, 256, (count, height, width, 3), np.uint8)}
        styles = None
        if method.style_size:
            feed["styles"] = styles = rng.normal(size=(count, method.style_size)).astype("float32")
        found = run(model, feed).astype(int)
        floats = images.to_float(jnp.asarray(feed["pictures"]))
        expected, _ = method.translate(weights, floats, way, styles)
        levels = np.rint((np.asarray(expected) + 1) * 127.5).clip(0, 255)
        assert found.shape == (count, height, width, 3) and found.std() > 1
        assert np.abs(found - levels).max() <= 1 and np.abs(found - levels).mean() < 0.01


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    picture = Image.open(DOCS / "demo.png").convert("RGB").crop((0, 100, 128, 228))
    return np.asarray(picture.resize((64, 64)))[None]


@pytest.mark.parametrize(("dtype", "mean"), [("float32", 0.01), ("float16", 0.3)])
def test_the_shipped_model_is_the_same_in_onnx(
    dtype: str, mean: float, photos: np.ndarray, tmp_path: Path
) -> None:
    assert main(["emoji", f"--out={tmp_path / 'x'}", "--format=onnx", f"--dtype={dtype}"]) == 0
    described = json.loads((tmp_path / "x" / "onnx.json").read_text())
    assert set(described["files"]) == {"a2b.onnx", "b2a.onnx"}
    size = (tmp_path / "x" / "a2b.onnx").stat().st_size
    assert described["files"]["a2b.onnx"]["bytes"] == size < (4e6 if dtype == "float32" else 2.2e6)
    for way in ("a2b", "b2a"):
        model = onnx.load(tmp_path / "x" / f"{way}.onnx")
        onnx.checker.check_model(model, full_check=True)
        found = run(model, {"pictures": photos}).astype(int)
        expected = Translator.load("emoji", dtype="float32")(photos[0], way)
        assert np.abs(found - expected).mean() < mean


@pytest.mark.slow
def test_the_shipped_model_of_eight_bits_is_small_and_near(
    photos: np.ndarray, tmp_path: Path
) -> None:
    drawn, out = Image.open(DOCS / "demo.png").convert("RGB"), tmp_path / "x"
    for split in ("trainA", "trainB"):  # ranges are those of the pictures, and noise has others
        (tmp_path / split).mkdir()
        for top in (228, 356):
            drawn.crop((0, top, 128, top + 128)).save(tmp_path / split / f"{top}.png")
    flags = ["--format=onnx", "--dtype=int8", "--direction=a2b", f"--data={tmp_path}"]
    assert main(["emoji", f"--out={out}", *flags]) == 0
    assert json.loads((out / "onnx.json").read_text())["dtype"] == "int8"
    assert (out / "a2b.onnx").stat().st_size < 1.5e6
    found = run(onnx.load(out / "a2b.onnx"), {"pictures": photos}).astype(int)
    expected = Translator.load("emoji", dtype="float32")(photos[0], "a2b")
    assert 0 < np.abs(found - expected).mean() < 3


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["light", "munit"])  # the second has styles
def test_eight_bits_are_near_what_the_method_does(variant: str) -> None:
    method, weights = small(variant)
    way, rng = method.directions[0], np.random.default_rng(1)
    model = build_onnx(method, way, weights)
    pictures = rng.integers(0, 256, (4, 64, 64, 3), np.uint8)
    rounded = to_int8(model, pictures, method.style_size)
    layers = [x for x in rounded.graph.node if x.op_type in LAYERS]
    made = {output: x.op_type for x in rounded.graph.node for output in x.output}
    assert layers and all(made[x.input[1]] == "DequantizeLinear" for x in layers)
    feed = {"pictures": pictures}
    if method.style_size:
        feed["styles"] = rng.normal(size=(4, method.style_size)).astype("float32")
    found, expected = (run(x, feed).astype(float) for x in (rounded, model))
    assert found.std() > 1 and np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9


def test_eight_bits_are_measured_on_the_training_pictures(pictures: Path) -> None:
    config = get_config("light")
    config.data.image_size = (32, 48)
    with pytest.raises(InputError, match=r"x does not say what it was trained on: .* by --data"):
        calibration_pictures(config, Path("x"), "")
    for source, data in ((pictures, ""), ("nowhere", str(pictures))):
        config.data.source = str(source)
        found = calibration_pictures(config, Path("x"), data)
        assert found["a"].shape == (9, 32, 48, 3) and found["b"].shape == (8, 32, 48, 3)


def test_a_broken_picture_is_named_or_left_out_as_in_training(
    pictures: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(pictures, mine)
    (mine / "trainA" / "broken.png").write_bytes(b"no picture")
    config = get_config("light")
    with pytest.raises(InputError, match=r"broken\.png"):
        calibration_pictures(config, Path("x"), str(mine))
    config.data.skip_bad = True
    assert len(calibration_pictures(config, Path("x"), str(mine))["a"]) == 9


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format=onnx", "--dtype=int8"], "does not say what it was trained on"),
        (["--format=onnx", "--data=emoji"], "--data is for --dtype=int8"),
        (["--dtype=int8", "--data=emoji"], "--dtype int8 is for --format=onnx"),
    ],
)
def test_eight_bits_that_cannot_be_had_are_one_line(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["emoji", f"--out={tmp_path / 'x'}", *flags])
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a2b.onnx").write_text("mine")
    with pytest.raises(InputError, match="is not empty: say another --out"):
        export_onnx(Path("emoji"), tmp_path)
    with pytest.raises(InputError, match="no --dtype bfloat16 in ONNX"):
        export_onnx(Path("emoji"), tmp_path, dtype="bfloat16")
    assert (tmp_path / "a2b.onnx").read_text() == "mine"


def test_a_primitive_without_a_form_is_named() -> None:
    closed = jax.make_jaxpr(lambda x: jnp.sort(x))(np.zeros(3, np.float32))
    graph = Graph()
    value = graph.input("x", jax.ShapeDtypeStruct((3,), jnp.float32))
    with pytest.raises(InputError, match="ONNX export: no form for sort"):
        write(graph, RULES, closed, [value])
