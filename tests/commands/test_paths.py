"""Paths that cannot be: too long, in circles, through files, to pipes; each is told in a line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ugatit_jax import emoji, evaluate, export, main, plan, prefer, translate
from ugatit_jax.interop import export_weights, import_weights

ROOT = Path(__file__).parents[2]
RUN = str(ROOT / "tests" / "golden" / "format_1" / "run")
DEMO = f"--config={ROOT / 'configs' / 'demo.py'}"
ODD = ("x" * 300, "x/" * 3000, "circle", "circle/x", "file/x", "pipe", "pipe/x", "missing", "")
# Where a path is to be new, it may be missing.
NEW = [x for x in ODD if x not in ("missing", "")]
COMMANDS: dict[str, tuple[Callable[..., Any], Callable[[str], list[str]], list[str]]] = {
    "main --workdir": (main.main, lambda x: [DEMO, f"--workdir={x}"], NEW),
    "main --config": (main.main, lambda x: [f"--config={x}"], [*ODD]),
    "main source": (main.main, lambda x: [DEMO, f"--config.data.source={x}"], [*ODD]),
    "main init_from": (
        main.main,
        lambda x: [DEMO, "--config.data.source=data", f"--config.init_from={x}"],
        [*ODD[:-1]],
    ),
    "plan --config": (plan.main, lambda x: [f"--config={x}", "--topology=cpu"], [*ODD]),
    "translate": (translate.main, lambda x: [x, "in", "--out=out"], [*ODD]),
    "translate in": (translate.main, lambda x: [RUN, x, "--out=out"], [*ODD]),
    "translate --out": (translate.main, lambda x: [RUN, "in", f"--out={x}"], NEW),
    "translate --style": (
        translate.main,
        lambda x: [RUN, "in", "--out=out", f"--style={x}"],
        [*ODD[:-1]],
    ),
    "evaluate": (evaluate.main, lambda x: [x], [*ODD]),
    "evaluate two": (evaluate.main, lambda x: ["in", x], [*ODD[:-1]]),
    "evaluate --data": (evaluate.main, lambda x: [RUN, f"--data={x}"], [*ODD[:3]]),
    "evaluate --features": (
        evaluate.main,
        lambda x: ["good", "good", f"--features={x}"],
        [*ODD],
    ),
    "export": (export.main, lambda x: [x, "--out=out"], [*ODD]),
    "prefer": (prefer.main, lambda x: [x, "in", "--inputs=in", "--out=out", "--port=0"], [*ODD]),
    "prefer --inputs": (
        prefer.main,
        lambda x: ["in", "good", f"--inputs={x}", "--out=out", "--port=0"],
        [*ODD],
    ),
    "prefer --out": (
        prefer.main,
        lambda x: ["good", "good2", "--inputs=good", f"--out={x}", "--port=0"],
        NEW,
    ),
    "prefer --report": (prefer.main, lambda x: ["--report", x], [*ODD]),
    "emoji --cache_dir": (emoji.main, lambda x: [f"--cache_dir={x}"], NEW),
    "import_weights": (import_weights.main, lambda x: [x, "out"], [*ODD]),
    "export_weights": (export_weights.main, lambda x: [x, "out.pt"], [*ODD]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_path_that_cannot_be_is_told_in_a_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    os.mkfifo("pipe")
    Path("circle").symlink_to("circle")
    for folder in ("in", "good", "good2", "data/trainA", "data/trainB"):
        Path(folder).mkdir(parents=True)
        Path(folder, "x.png").write_bytes((ROOT / "docs" / "attention.png").read_bytes())
    run, arguments, values = COMMANDS[name]
    for value in values:
        with pytest.raises(SystemExit) as exit_:
            run(arguments(value))
        assert exit_.value.code == 2, value
        said = capsys.readouterr().err.splitlines()
        assert said and said[-1].startswith("error: "), (value, said)
        assert len(said) == 1 and len(said[0]) < 14_000, (value, said)
