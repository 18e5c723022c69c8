"""A training that is killed for real, and what would tell that it is not what it was."""

import shutil
from pathlib import Path

import pytest

from benchmarks import chaos
from benchmarks.chaos import Kill, Trial, try_kills
from benchmarks.killing.same_runs import compare, largest_change
from ugatit_jax.training.events import EventFiles


def test_kills_are_planned_by_the_seed_and_of_all_kinds() -> None:
    kills = chaos.plan_kills(20, 3, 10.0)
    assert kills == chaos.plan_kills(20, 3, 10.0) != chaos.plan_kills(20, 4, 10.0)
    assert sorted(kill.phase for kill in kills) == sorted(chaos.PHASES * 4)


@pytest.mark.thorough  # four starts of the program
def test_a_training_that_is_killed_is_the_same_and_what_is_not_is_told(tmp_path: Path) -> None:
    trial = Trial("cyclegan", 16, tmp_path)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    trial.finish(straight)
    # A kill in the only KID, and one while a checkpoint is written after it.
    kills = [Kill("KID", 0), Kill("checkpoint", 0)]
    assert try_kills(trial, kills, killed).total() == 2
    found = compare(straight, killed)
    assert found.differences == []
    assert found.arrays > 100 and found.points > 16 * 15
    assert largest_change(straight, killed) == 0

    # What would be told: a scalar twice, a grid that is another, a checkpoint that is missing.
    events = EventFiles(killed, silent=False, start=16)
    events.writer.write_scalars(12, {"generator/total": 1.0})
    events.close()
    shutil.copy(killed / "samples" / "step_0000007.png", killed / "samples" / "step_0000014.png")
    shutil.rmtree(killed / "checkpoints" / "16")
    said = "\n".join(compare(straight, killed).differences)
    assert "generator/total, twice at [12]" in said and "step_0000014.png" in said
    assert "checkpoints: [" in said
