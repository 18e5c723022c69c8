"""What is known of runs before anything is scored: arms, hours, the paper's figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from ugatit_jax.comparison.arms import gather, settings
from ugatit_jax.comparison.hours import Clock
from ugatit_jax.comparison.published import TABLE_3, published
from ugatit_jax.config.flags import load_experiment
from ugatit_jax.config.records import flatten, save_config
from ugatit_jax.console.errors import InputError

ROOT = Path(__file__).parents[2]


def write_run(folder: Path, variant: str = "", **fields: Any) -> Path:
    config = load_experiment(f"{ROOT / 'configs' / 'demo.py'}:{variant}")
    config.update_from_flattened_dict(fields)
    folder.mkdir(parents=True)
    save_config(config, folder / "config.json")
    return folder


def test_runs_that_differ_in_their_seeds_alone_are_one_arm(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "ours-1", seed=1),
        write_run(tmp_path / "ours-0", seed=0, **{"train.steps": 3_050, "log_every": 7}),
        write_run(tmp_path / "short", seed=2, **{"train.steps": 1_000}),
        write_run(tmp_path / "again", seed=1),
        write_run(tmp_path / "cyclegan-0", "cyclegan"),
    ]
    arms = gather(runs)
    found = {arm.name: [run.name for run in arm.runs] for arm in arms}
    assert found == {
        "ours": ["ours-0", "ours-1"],
        "short": ["short"],
        "again": ["again"],
        "cyclegan-0": ["cyclegan-0"],
    }
    table = settings([arms[0], arms[1]])
    assert table == [["field", "ours", "short"], ["train.steps", "3050", "1000"]]
    lines = {field: values for field, *values in settings([arms[0], arms[3]])}
    assert lines["method"] == ["ugatit", "cyclegan"]
    assert lines["model.cam"] == ["discriminator", "–"] and "seed" not in lines
    with pytest.raises(InputError, match="ours-1 is given twice"):
        gather([runs[0], runs[0]])


def test_arms_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, **fields)
        for name, fields in (
            ("wide-0", {"seed": 0, "model.base_width": 32}),
            ("wide-1", {"seed": 1, "model.base_width": 32}),
            ("wide", {"seed": 0}),
        )
    ]
    assert [arm.name for arm in gather(runs)] == ["wide-0", "wide"]


def test_hours_leave_out_the_time_in_which_nothing_ran() -> None:
    def at(hour: float, step: int) -> dict[str, Any]:
        minutes = round(60 * hour)
        return {"date": f"2026-01-01T{minutes // 60:02}:{minutes % 60:02}:00+00:00", "step": step}

    # 100 steps an hour; stopped at step 250, and gone on from there nine hours later.
    record = {"starts": [at(1, 0), at(12, 250)]}
    kids = {"points": [at(2, 100), at(3, 200), at(12.5, 300), at(13.5, 400)]}
    clock = Clock.of(record, kids)
    for step, hours in ((0, 0), (50, 0.5), (200, 2), (300, 3), (400, 4), (500, 5)):
        assert clock.hours(step) == pytest.approx(hours), step
    assert Clock.of(record, {"points": [{"step": 100}]}).hours(100) is None
    assert Clock.of({}, {}).hours(100) is None


def test_the_papers_figures_belong_to_their_rows() -> None:
    def of(experiment: str, direction: str = "a2b") -> tuple[Any, ...] | None:
        file, _, variant = experiment.partition(":")
        config = load_experiment(f"{ROOT / 'configs' / file}.py:{variant}")
        return published(flatten(config), direction)

    assert of("selfie2anime") == ("selfie2anime", 11.61, 0.57)
    assert of("selfie2anime:cyclegan", "b2a") == ("selfie2anime", 11.84, 0.74)
    assert of("horse2zebra:unit", "b2a") == ("horse2zebra", 14.93, 0.75)
    assert of("photo2portrait:munit") == ("photo2portrait", 4.75, 0.52)
    assert of("cat2dog:drit++") == ("cat2dog", 10.92, 0.33)
    assert of("demo:aggan", "b2a") == ("selfie2anime", 12.72, 1.03)
    assert of("horse2zebra:cartoongan") == ("selfie2anime", 15.85, 0.69)
    assert of("ablation:adain") == ("selfie2anime", 12.29, 0.78)
    assert of("ablation:generator_cam", "b2a") == ("selfie2anime", 13.33, 0.89)  # w/o D_CAM
    assert published(flatten(load_experiment(f"{ROOT}/configs/demo.py:cartoongan")), "b2a") is None
    # The paper's text: best or second best in all but photo2portrait and vangogh2photo.
    for data, of_methods in TABLE_3.items():
        first = sorted(of_methods, key=lambda method, rows=of_methods: rows[method][0])
        assert "ugatit" in first[:2], data


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "kid.json").write_text(json.dumps({"points": []})[:-3])
    with pytest.raises(InputError, match=r"cannot read .*kid\.json .*: restore the file"):
        gather([run])
