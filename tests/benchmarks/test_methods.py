"""The table of all methods, counted by hand, and what lies around it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.methods import split, tables, write_page
from benchmarks.timed_training import CLOCKS, Took, Trial, config_of
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import open_dataset

DEMO = str(Path(__file__).parents[2] / "configs" / "demo.py")


def row(kid: float | None, l1: float | None = None) -> dict[str, Any]:
    scores = {"kid_x100": None if kid is None else {"mean": kid, "std_over_subsets": 1.0}}
    truth = {"l1": l1, "ssim": 0.5, "delta_e": 10.0}
    return scores if l1 is None else scores | {"to_counterpart": truth}


def test_means_over_seeds_by_hand(tmp_path: Path) -> None:
    runs = {"new": [tmp_path / "new-0", tmp_path / "new-1"], "old": [tmp_path / "old-0"]}
    reports = {}
    for run, kid, steps in (("new-0", 1.0, 90), ("new-1", 3.0, 110), ("old-0", None, 1200)):
        rows = {"translated": row(kid, kid and kid / 10), "target_half": row(0.25)}
        reports[tmp_path / run] = {"parameters": 12345, "directions": {"a2b": {"rows": rows}}}
        took = Took(steps, 1.0, steps / 60)
        (tmp_path / run).with_suffix(".json").write_text(json.dumps(took._asdict()))
    text = tables(runs, reports)
    lines = [[x.strip() for x in line.strip("|").split("|")] for line in text.splitlines()]
    found = {line[0]: line[1:] for line in lines}
    assert found["method"] == ["KID×100", "L1", "SSIM", "ΔE", "parameters", "steps", "steps/s"]
    spread = np.sqrt(2)  # of 1 and 3
    assert found["new"] == [
        f"2.00 ± {spread:.2f}",
        f"0.2000 ± {spread / 10:.4f}",
        "0.5000 ± 0.0000",
        "10.00 ± 0.00",
        "12,345",
        "100",
        f"{100 / 60:.2f}",
    ]
    assert found["old"] == ["–", "–", "–", "–", "12,345", "1,200", "20.00"]
    assert found["half of the target"] == ["0.25", *["–"] * 6]


def test_two_folders_become_a_data_set_that_shares_no_picture(tmp_path: Path) -> None:
    for folder, count in (("cats", 25), ("dogs", 31), ("few", 19)):
        (tmp_path / folder / "x").mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / folder / "x" / f"{i:02}.png")
    for _ in range(2):  # a second start finds it
        split([tmp_path / "cats", tmp_path / "dogs"], tmp_path / "data")
    config = config_of(f"{DEMO}:cyclegan", 3, [f"data.source={tmp_path / 'data'}"])
    assert config.seed == 3 and config.method == "cyclegan"
    dataset = open_dataset(config.data)
    assert [len(x) for x in (dataset.train_a, dataset.test_a)] == [22, 3]
    assert [len(x) for x in (dataset.train_b, dataset.test_b)] == [27, 4]
    assert not set(dataset.train_a.names) & set(dataset.test_a.names)
    assert len(set(dataset.train_b.names) | set(dataset.test_b.names)) == 31
    with pytest.raises(InputError, match="few has 19 pictures: give 20 or more"):
        split([tmp_path / "few", tmp_path / "dogs"], tmp_path / "other")

    for method, directions in (("one", ["a2b", "b2a"]), ("two", ["a2b"])):
        for direction in directions:
            for name in (dataset.test_a if direction == "a2b" else dataset.test_b).names:
                file = tmp_path / "scores" / f"{method}-0" / direction / name
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (64, 64)).save(file)
    page = tmp_path / "methods.html"
    write_page(page, config.data, {"one": "one-0", "two": "two-0"}, tmp_path / "scores")
    text = page.read_text()
    assert text.count("<article") == 3 + 4
    assert text.count("x/00.png: two") == 1 and text.count("x/00.png: one") == 2


def test_the_first_steps_of_a_trial_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, steps = [0.0], []
    monkeypatch.setitem(CLOCKS, "wall", lambda: clock[0])

    def step() -> None:
        steps.append(1)
        clock[0] += 50 if len(steps) <= 3 else 0.25

    trial = Trial({"only": step}, lambda step: "only")
    assert trial.steps_within(10.1, "wall") == 40


def test_steps_of_all_phases_share_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setitem(CLOCKS, "cpu", lambda: clock[0])

    def taking(seconds: float) -> Callable[[], None]:
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    trial = Trial({"cheap": taking(0.5), "dear": taking(2)}, lambda i: ["cheap", "dear"][i >= 8])
    assert trial.steps_within(11, "cpu") == 8 + 3


def test_a_field_without_a_value_is_told() -> None:
    with pytest.raises(InputError, match="say FIELD=VALUE"):
        config_of(DEMO, 0, ["train.steps"])
