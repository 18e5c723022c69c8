"""What lies around trainings of the same minutes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.methods import parts_of, split
from benchmarks.timing.timed_training import CLOCKS, Took, Trial, config_of, steps_within
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.datasets import open_dataset

DEMO = str(Path(__file__).parents[2] / "configs" / "demo.py")


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


def test_the_first_steps_of_a_trial_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, steps = [0.0], []
    monkeypatch.setitem(CLOCKS, "wall", lambda: clock[0])

    def step() -> None:
        steps.append(1)
        clock[0] += 50 if len(steps) <= 3 else 0.25

    trial = Trial({"only": step}, lambda step: "only")
    assert steps_within({"one": trial}, 10.1, "wall") == {"one": 40}


def test_steps_of_all_phases_share_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setitem(CLOCKS, "cpu", lambda: clock[0])

    def taking(seconds: float) -> Callable[[], None]:
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    two = Trial({"cheap": taking(0.5), "dear": taking(2)}, lambda i: ["cheap", "dear"][i >= 8])
    one = Trial({"dear": taking(4)}, lambda i: "dear")
    assert steps_within({"two": two, "one": one}, 11, "cpu") == {"two": 8 + 3, "one": 2}


def test_a_machine_that_gets_slower_takes_from_all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = [0.0], [1.0]
    monkeypatch.setitem(CLOCKS, "wall", lambda: clock[0])

    def step() -> None:
        pace[0] *= 1.01
        clock[0] += pace[0]

    trials = {name: Trial({"": step}, lambda i: "") for name in ("first", "second", "third")}
    counts = steps_within(trials, 1000, "wall").values()
    assert max(counts) <= 1.03 * min(counts)


def test_what_a_training_took_is_its_own(tmp_path: Path) -> None:
    runs = [tmp_path / f"adalin+model.mlp_pool={pool}-0" for pool in (4, 8)]
    Took.file(runs[0]).write_text('{"steps": 3, "minutes": 1.5, "steps_per_second": 0.5}')
    assert [Took.of(run) for run in runs] == [Took(3, 1.5, 0.5), None]


def test_a_method_may_come_with_fields() -> None:
    assert parts_of("drit++") == ["drit++"]
    assert parts_of("drit+++loss.cycle=5+seed=1") == ["drit++", "loss.cycle=5", "seed=1"]
    assert parts_of("adalin+model.mlp_pool=4") == ["adalin", "model.mlp_pool=4"]


def test_a_field_without_a_value_is_told() -> None:
    with pytest.raises(InputError, match="say FIELD=VALUE"):
        config_of(DEMO, 0, ["train.steps"])
