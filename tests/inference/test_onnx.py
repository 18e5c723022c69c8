"""Every method's translation in ONNX, run by onnxruntime, against the method itself."""

import json
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
