"""What people report of trainings that go wrong, told from what is logged anyway, with what helps.

Each is said once by a start of a run: of scalars in the order of steps, and of sample grids. What a
method's scalars mean it says itself (`Method.returning`, `Method.undecided`, `Method.watch`).
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

from ugatit_jax.methods.method import AT_BOUND, Method

Pair = tuple[np.ndarray, np.ndarray]


class Limits(NamedTuple):
    """From where on something is said to be ill."""

    window: int = 1_000  # steps that it has to last
    start: int = 100  # steps that a start takes
    right: float = 0.95  # share of discriminators' judgements
    at_bound: float = 0.99  # share of bounded parameters
    times: float = 1.5  # what pictures lose on the way back, of what they did at the start
    lost: float = 0.3  # and of all that there is, as the mean of absolute differences in [0, 2]
    varied: float = 0.05  # how much translations vary, of how much their inputs do
    changed: float = 0.01  # how far they are from their inputs, of how much these vary
    grids: int = 2  # sample grids, one after the other


LIMITS = Limits()


class Recent:
    """A scalar in the last so many steps."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._found: deque[tuple[int, float]] = deque()

    def add(self, step: int, value: float) -> None:
        """Add the value of a step, and forget those that are longer ago."""
        self._found.append((step, value))
        while len(self._found) > 1 and self._found[1][0] <= step - self._window:
            self._found.popleft()

    def mean(self) -> float | None:
        """Return its mean, or None where it is not known for so long."""
        first, last = self._found[0][0], self._found[-1][0]
        if last - first < self._window:
            return None
        return sum(value for _, value in self._found) / len(self._found)


class Watchdog:
    """Looks at a training's scalars and sample grids, and says what is ill, each thing once."""

    def __init__(
        self,
        returning: tuple[str, ...] = (),
        undecided: Mapping[str, float] | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        """returning, undecided: as in `Method`."""
        self._returning, self._undecided, self._limits = returning, undecided or {}, limits
        self._recent: dict[str, Recent] = {}
        self._start: dict[str, list[float]] = {}
        self._began: int | None = None
        self._blank: dict[tuple[str, str], int] = {}
        self._unchanged: dict[str, int] = {}  # since which step
        self._said: set[str] = set()

    @classmethod
    def of(cls, method: Method, limits: Limits = LIMITS) -> Self:
        """Return the one of a method."""
        return cls(method.returning, method.undecided, limits)

    def look(self, step: int, values: Mapping[str, float]) -> list[str]:
        """Return what is to be said of a training whose scalars these are after a step."""
        if self._began is None:
            self._began = step
        return [
            *self._look_at_discriminators(step, values),
            *self._look_at_bounds(step, values),
            *self._look_at_cycles(step, values),
        ]

    def look_at_samples(self, step: int, samples: Mapping[str, Pair]) -> list[str]:
        """Return what is to be said of translations, {direction: (inputs, translations)}.

        Both are [N, H, W, 3] of one range. Grids of the first steps of a training say nothing.
        """
        said: list[str] = []
        for way, (inputs, translations) in samples.items() if step > self._limits.start else ():
            said += self._look_at_change(step, way, inputs, translations)
            for what, kind in (("all alike", 0), ("blank", (1, 2))):
                if what == "all alike" and len(inputs) < 2:
                    continue
                before, after = (float(x.std(axis=kind).mean()) for x in (inputs, translations))
                ill = after < self._limits.varied * before
                count = self._blank[way, what] = self._blank.get((way, what), 0) + 1 if ill else 0
                if count >= self._limits.grids:
                    said += self._say(
                        f"blank/{way}",
                        f"translations {way} are {what}: they vary by {after / before:.1%} of what "
                        "their inputs do. Look at samples/, and at the pictures of the target; "
                        "then lower config.train.learning_rate, or give more weight to the cycle "
                        "(config.loss), and begin anew, or from a checkpoint before this",
                    )
        return said

    def _look_at_change(
        self, step: int, way: str, inputs: np.ndarray, translations: np.ndarray
    ) -> list[str]:
        change = float(np.abs(translations.astype(np.float32) - inputs).mean())
        if change >= self._limits.changed * float(inputs.std()):
            self._unchanged.pop(way, None)
            return []
        if step - self._unchanged.setdefault(way, step) < self._limits.window:
            return []
        return self._say(
            f"unchanged/{way}",
            f"translations {way} are their inputs: for {self._limits.window} steps they have "
            "hardly differed. To change nothing costs neither cycle nor identity: give more weight "
            "to the adversarial term, or less to these (config.loss), and begin anew",
        )

    def _look_at_discriminators(self, step: int, values: Mapping[str, float]) -> list[str]:
        if not self._undecided or not self._undecided.keys() <= values.keys():
            return []
        # Of a wrong judgement, each of these losses makes that of one who cannot tell, or more.
        loss = sum(values[name] for name in self._undecided) / sum(self._undecided.values())
        mean = self._mean("right", step, 1 - loss)
        if mean is None or mean < self._limits.right:
            return []
        return self._say(
            "discriminators",
            f"discriminators have won: for {self._limits.window} steps they have been right about "
            f"{mean:.0%} of what they judge or more, and tell generators little. Look for what all "
            "pictures of one domain have and none of the other, such as borders; take more "
            "pictures, smaller discriminators, or less weight for other terms (config.loss)",
        )

    def _look_at_bounds(self, step: int, values: Mapping[str, float]) -> list[str]:
        said: list[str] = []
        for name, share in values.items():
            if not name.startswith(AT_BOUND):
                continue
            mean = self._mean(name, step, share)
            if mean is not None and mean >= self._limits.at_bound:
                what = name.removeprefix(AT_BOUND)
                said += self._say(
                    name,
                    f"{what} is stuck: for {self._limits.window} steps {mean:.0%} of its values "
                    "have been at a bound, and do not learn there. Lower "
                    "config.train.learning_rate, and begin anew",
                )
        return said

    def _look_at_cycles(self, step: int, values: Mapping[str, float]) -> list[str]:
        said: list[str] = []
        for name in self._returning:
            if name not in values:
                continue
            beginning = self._start.setdefault(name, [])
            if not beginning or step <= (self._began or 0) + self._limits.start:
                beginning.append(values[name])
            start = sum(beginning) / len(beginning)
            mean = self._mean(name, step, values[name])
            if mean is None or mean < max(self._limits.times * start, self._limits.lost):
                continue
            said += self._say(
                name,
                f"{name} is far above its start: {mean:.2f} in the mean of {self._limits.window} "
                f"steps, and {start:.2f} then. What is translated there and back is lost: give "
                "more weight to the cycle (config.loss), or lower config.train.learning_rate, and "
                "begin anew, or from a checkpoint before this",
            )
        return said

    def _mean(self, name: str, step: int, value: float) -> float | None:
        recent = self._recent.setdefault(name, Recent(self._limits.window))
        recent.add(step, value)
        return recent.mean()

    def _say(self, name: str, text: str) -> list[str]:
        if name in self._said:
            return []
        self._said.add(name)
        return [text]
