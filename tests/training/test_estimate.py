"""The time that is left of a training, as it is told after the first hundred steps."""

import pytest

from ugatit_jax.training.estimate import Estimate, in_words


class Clock:
    """One that goes as a test says."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_hundred_steps_tell_the_rest_without_what_was_no_step() -> None:
    clock = Clock()
    estimate = Estimate(10_101, clock)
    said = {}
    for step in range(1, 301):
        clock.now += 600 if step == 1 else 0.5  # the first one is compiled
        if line := estimate.count(step, "train"):
            said[step] = line
        if step % 50 == 0:  # a sample grid
            clock.now += 100
            estimate.pause()
    assert said == {101: "about 1 h 20 min to step 10,101"}


def test_every_phase_is_timed_and_a_run_that_ends_is_not() -> None:
    clock = Clock()
    estimate = Estimate(1000, clock)
    said = {}
    for step in range(1, 1001):
        phase, seconds = ("quick", 1) if step <= 500 else ("slow", 10)
        clock.now += seconds
        if line := estimate.count(step, phase):
            said[step] = line
    assert said == {101: "about 15 min to step 1,000", 601: "about 1 h 10 min to step 1,000"}
    estimate = Estimate(1000, clock)
    said = {}
    for step in range(1, 1001):  # as of DRIT
        clock.now += 1 if step % 3 else 4
        if line := estimate.count(step, "content" if step % 3 else "all"):
            said[step] = line
    assert said == {103: "about 30 min to step 1,000"}
    estimate = Estimate(101, clock)
    assert not any(estimate.count(step, "train") for step in range(1, 102))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.1, "1 s"),
        (89, "89 s"),
        (100, "2 min"),
        (59.4 * 60, "59 min"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (2 * 3600 - 40, "2 h"),
        (86_400, "1 day"),
        (100 * 3600, "4 days 4 h"),
    ],
)
def test_times_have_two_units_at_most(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
