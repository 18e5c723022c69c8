"""The lines of docs/export.md that make a TFLite file of the shipped model, run and compared."""

import re
from pathlib import Path

import numpy as np
import pytest

from ugatit_jax.inference.translator import Translator

tensorflow = pytest.importorskip("tensorflow")
pytest.importorskip("jax.experimental.jax2tf")

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # both say that others will take their place one day
def test_a_tflite_file_translates_as_the_program_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"## TFLite.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(lines, {})
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    interpreter = tensorflow.lite.Interpreter(model_path="a2b.tflite")
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], picture[None].astype(np.float32) / 127.5 - 1)
    interpreter.invoke()
    found = (interpreter.get_tensor(made["index"])[0] + 1) * 127.5
    expected = Translator.load("emoji", dtype="float32")(picture, "a2b")
    assert np.abs(np.rint(found).clip(0, 255) - expected).max() <= 1
