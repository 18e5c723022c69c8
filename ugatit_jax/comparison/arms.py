"""The arms of a comparison: runs that differ in nothing but their seeds are one."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ugatit_jax.comparison.hours import Clock
from ugatit_jax.config.records import flatten, load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, resolve
from ugatit_jax.evaluation.report import NONE

# Runs of equal time, not of equal steps, are still of one kind.
STEPS_ALIKE = 0.1
# What is written or looked at while training, which changes nothing of what is trained.
WATCHING = ("seed", "log_every", "samples.", "eval.", "checkpoint.", "data.cache_", "init_from")


@dataclass(frozen=True)
class Run:
    """A run, or an export, which has no curve.

    fields: its config, {'section.name': value}. kids: what kid.json has, or {}.
    """

    path: AnyPath
    name: str
    fields: dict[str, Any]
    kids: dict[str, Any]
    clock: Clock

    @classmethod
    def open(cls, path: AnyPath, name: str) -> Self:
        """Read what is known of a run. Raises `InputError` for a file that cannot be read."""
        fields = flatten(load_config(path / "config.json"))
        kids = _read(path / "kid.json")
        return cls(path, name, fields, kids, Clock.of(_read(path / "run.json"), kids))

    @property
    def steps(self) -> int:
        """How many steps its training is to have."""
        return int(self.fields["train.steps"])


@dataclass(frozen=True)
class Arm:
    """Runs of one kind, by increasing seed."""

    name: str
    runs: list[Run]


def _read(path: AnyPath) -> dict[str, Any]:
    try:
        return read_object(path) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}): restore the file, or remove it") from None


def gather(paths: Sequence[AnyPath]) -> list[Arm]:
    """Return the arms of these runs, in the order of their first ones.

    An arm is named after what its runs' names begin with: 'adain' of adain-0 and adain-1.
    """
    names = [resolve(path).name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{double} is given twice: give each run once")
    groups: list[list[Run]] = []
    for path, name in zip(paths, names, strict=True):
        run = Run.open(path, name)
        group = next((group for group in groups if _alike(group[0], run)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    arms = [Arm(_name(x), sorted(x, key=lambda run: run.fields["seed"])) for x in groups]
    if len({arm.name for arm in arms}) < len(arms):  # what tells them apart is the end of the name
        return [Arm(arm.runs[0].name, arm.runs) for arm in arms]
    return arms


def _trained(run: Run) -> dict[str, Any]:
    fields = {k: v for k, v in run.fields.items() if not k.startswith(WATCHING)}
    return fields | {"train.steps": None}


def _alike(one: Run, other: Run) -> bool:
    """Say whether two runs were trained alike, but with different seeds."""
    apart = abs(one.steps - other.steps) / max(one.steps, other.steps)
    seeds = {run.fields["seed"] for run in (one, other)}
    return len(seeds) == 2 and apart <= STEPS_ALIKE and _trained(one) == _trained(other)


def _name(runs: Sequence[Run]) -> str:
    first, *others = (run.name for run in runs)
    if not others:
        return first
    alike = itertools.takewhile(lambda x: len(set(x)) == 1, zip(first, *others, strict=False))
    return "".join(letter for letter, *_ in alike).rstrip("-_. ") or first


def settings(arms: Sequence[Arm]) -> list[list[str]]:
    """Return the fields that differ between arms as a table, a column for each arm.

    What only says how a run is watched is left out. A method that has no such field has a dash.
    """
    of_arms = [
        {k: v for k, v in arm.runs[0].fields.items() if not k.startswith(WATCHING)} for arm in arms
    ]
    fields = sorted(set().union(*of_arms))
    different = [field for field in fields if len({repr(x.get(field)) for x in of_arms}) > 1]
    lines = [[field, *(_value(x, field) for x in of_arms)] for field in different]
    return [["field", *(arm.name for arm in arms)], *lines]


def _value(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return NONE if name not in fields else value if isinstance(value, str) else repr(value)
