"""Plans, and the search for settings that fit."""

import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ml_collections import ConfigDict

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.flags import override
from ugatit_jax.config.records import flatten
from ugatit_jax.console.errors import InputError
from ugatit_jax.methods import build_method
from ugatit_jax.planning.compiled_step import Figures, measure
from ugatit_jax.planning.report import as_dict, describe, summarize
from ugatit_jax.planning.roofline import fits
from ugatit_jax.planning.topology import Target, find_target, larger

T = TypeVar("T")
Changes = dict[str, Any]  # {'section.field': value}


def prepare(config: ConfigDict, target: Target) -> ConfigDict:
    """Return a config as it would be trained on the target; raises `InputError` if it cannot be."""
    config = config.copy_and_resolve_references()
    if target.is_tpu and config.dtype == "auto":
        config.dtype = "bfloat16"  # the networks ask the devices that are here
    check_config(config, len(target.devices), target.slices)
    return config


def plan(name: str, config: ConfigDict, target: Target, as_json: bool) -> int:
    """Print the plan of a config, and settings that fit if it does not; returns exit status."""
    figures = interruptible(functools.partial(measure, config, target, _say))
    result = as_dict(name, config, target, figures)
    if not as_json:
        print(describe(name, config, target, figures), flush=True)
    well = target.chip is None or fits(figures, target.chip)
    if not well:
        found = None
        for changes, other, less in search(config, target, figures):
            text = summarize(changes, other, less)
            _say(text) if as_json else print(text, flush=True)
            if other.chip is not None and fits(less, other.chip):
                found = as_dict(name, apply(config, changes), other, less)
                found["settings"] = changes
                break
        result["would_fit"] = found
        if not as_json:
            print("→ take this" if found else "→ none of these fits: take larger chips")
    if as_json:
        print(json.dumps(result, indent=1))
    return 0 if well else 1


def search(
    config: ConfigDict, target: Target, figures: Figures
) -> Iterator[tuple[Changes, Target, Figures]]:
    """Compile what takes less memory than these figures, from what costs least on.

    Yields each as it is known.
    """
    assert target.chip is not None
    for changes in candidates(config, target, figures.memory.state <= target.chip.hbm):
        topology = changes.get("topology", target.topology)
        other = target if topology == target.topology else find_target(topology, target.slices)
        try:
            changed = prepare(apply(config, changes), other)
        except InputError:
            continue  # such as parts of a batch that are not whole pictures
        words = " ".join(f"{field}={value}" for field, value in changes.items())
        _say(f"trying {words}")
        work = functools.partial(measure, changed, other, _say)
        yield changes, other, interruptible(work)


def candidates(config: ConfigDict, target: Target, state_fits: bool) -> Iterator[Changes]:
    """Yield changes of a config that make it take less memory, from what costs least on.

    {'section.field': value}; 'topology' stands for the chips. Recomputing comes before smaller
    parts of a batch: it takes more away than halving them does. Neither makes the state smaller.
    """
    train, chips = config.train, len(target.devices)
    per_chip = train.batch_size // chips
    again = {"train.remat": "all"} if train.remat != "all" else {}
    if state_fits:
        if train.remat == "none":
            yield {"train.remat": "convolutions"}
        if again:
            yield again
        parts = 2 * train.accumulate
        while parts <= per_chip:
            if per_chip % parts == 0:
                yield again | {"train.accumulate": parts}
            parts *= 2
    lighter = build_method(config).lighter
    if lighter.items() - flatten(config).items():
        yield lighter
        if again:
            yield lighter | again
    whole = {"train.accumulate": 1} if train.accumulate > 1 else {}
    if per_chip > 1 and state_fits:
        yield again | whole | {"train.batch_size": chips}
    if (topology := larger(target.topology)) is not None:
        more = {"topology": topology, "train.batch_size": max(train.batch_size, 2 * chips)}
        yield again | whole | more


def apply(config: ConfigDict, changes: Changes) -> ConfigDict:
    """Return a copy of a config with other values of some fields; chips are no field."""
    config = config.copy_and_resolve_references()
    for field, value in changes.items():
        if field != "topology":
            override(config, field, str(value))
    return config


def interruptible(work: Callable[[], T]) -> T:
    """Do work that a Ctrl-C is to end at once, and the program with it; compilers never notice."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(timeout=0.5)
    except KeyboardInterrupt:
        _say("stopped")
        sys.stdout.flush()
        os._exit(130)  # a compilation goes on until its end otherwise
    if errors:
        raise errors[0]
    return results[0]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
