"""Numbers that no command can do anything with: each is refused in a line, and at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from ugatit_jax import emoji, evaluate, export, main, plan, prefer, translate
from ugatit_jax.interop import export_weights, import_weights

ROOT = Path(__file__).parents[2]
RUN = str(ROOT / "tests" / "golden" / "format_1" / "run")
DEMO = f"--config={ROOT / 'configs' / 'demo.py'}"
LONG = "9" * 5000  # more digits than Python reads
NONE = ("0", "-1", "x", "1.5", "1e9", "", LONG, f"-{LONG}")
COMMANDS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "main": (main.main, [DEMO]),
    "main of CycleGAN": (main.main, [f"{DEMO}:cyclegan"]),
    "plan": (plan.main, [DEMO, "--topology=v5e:2x4"]),
    "translate": (translate.main, [RUN, "in", "--out=out"]),
    "evaluate": (evaluate.main, [RUN, "--out=out"]),
    "evaluate folders": (evaluate.main, ["in", "in", "--out=out"]),
    "export": (export.main, [RUN, "--out=out"]),
    "prefer": (prefer.main, ["in", "in2", "--inputs=in", "--out=out"]),
    "emoji": (emoji.main, ["--cache-dir=out"]),
    "import_weights": (import_weights.main, ["in/x.pt", "out"]),
    "export_weights": (export_weights.main, [RUN, "out.pt"]),
}
REFUSED: list[tuple[str, str, tuple[str, ...]]] = [
    *(("main", f"--config.{field}", NONE) for field in ("train.steps", "train.batch_size")),
    ("main", "--config.train.batch_size", ("65544", "1000000000")),
    ("main", "--config.train.accumulate", ("0", "-2", "2147483648")),
    ("main", "--config.seed", ("-1", "2147483648", LONG)),
    ("main", "--config.samples.count", ("0", "-3")),
    ("main", "--config.data.load_scale", ("0.5", "-1", "nan", "inf", "1e300", "1000")),
    ("main", "--config.data.image_size", ("(0, 0)", "(-4, 64)", "(2000000, 64)", "(4,)")),
    ("main", "--config.train.learning_rate", ("-1", "nan", "inf")),
    ("main", "--config.model.base_width", ("0", "-4", "4096", LONG)),
    ("main of CycleGAN", "--config.loss.pool", ("-1", "10001", "2147483647", LONG)),
    ("main", "--num-processes", ("0", "-1", "x", "1000000001", LONG)),
    ("main", "--process-id", ("-1", "1", LONG)),
    *(
        ("main", f"--{what}-timeout", ("0", "-1", "99999999999", LONG))
        for what in ("start", "heartbeat")
    ),
    ("plan", "--slices", (*NONE, "1000000000")),
    ("plan", "--topology", ("v5e:0x4", "v5e:-2x4", f"v5e:{LONG}x1", "v5p:999999x1x1", LONG)),
    ("plan", "--config.train.steps", ("0", "-1")),
    ("translate", "--styles", (*NONE, "1000000000", "101")),
    ("translate", "--seed", ("-1", "x", LONG)),
    *(
        (command, "--step", ("-3", "x", "1.5", "", "²", "1e3", LONG, "999"))
        for command in ("translate", "evaluate", "export", "export_weights")
    ),
    *((command, "--limit", NONE) for command in ("evaluate", "evaluate folders", "prefer")),
    ("prefer", "--port", ("-1", "65536", "x", LONG)),
    ("emoji", "--size", (*NONE, "7", "1000000000")),
    ("import_weights", "--image-size", (*NONE, "8")),
]


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """What JAX compiles meanwhile."""
    events: list[str] = []

    def note(name: str, seconds: float, **_: Any) -> None:
        if "compile" in name:
            events.append(name)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield events
    jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.parametrize(
    ("command", "flag", "values"), REFUSED, ids=[f"{x[0]} {x[1]}" for x in REFUSED]
)
def test_a_number_that_cannot_be_is_told_in_a_line(
    command: str,
    flag: str,
    values: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    compiled: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "in2"):
        Path(folder).mkdir()
        Path(folder, "x.png").write_bytes(b"no picture, but nobody comes that far")
    before = {x for x in tmp_path.rglob("*") if x.is_file()}
    run, arguments = COMMANDS[command]
    for value in values:
        with pytest.raises(SystemExit) as exit_:
            run([*arguments, f"{flag}={value}"])
        assert exit_.value.code == 2, value
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1 and len(said) < 900, said
        named = (flag, flag.removeprefix("--"), "checkpoint of step 999")
        assert any(name in said for name in named), said
    assert compiled == []
    assert {x for x in tmp_path.rglob("*") if x.is_file()} == before
