"""What a training takes, before anything is rented: memory, time, exchanges, verdict.

python -m ugatit_jax.plan --config=configs/selfie2anime.py --topology=v5e:2x4
"""

import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
from ml_collections import ConfigDict

from ugatit_jax.compiled_step import Figures, measure
from ugatit_jax.config import check_config
from ugatit_jax.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.flags import override, parse_experiment
from ugatit_jax.plan_report import as_dict, describe, summarize
from ugatit_jax.roofline import fits
from ugatit_jax.topology import KINDS, Target, find_target, larger

T = TypeVar("T")
Changes = dict[str, Any]  # {'section.field': value}


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 if the training does not fit."""
    parser = Parser(
        prog="python -m ugatit_jax.plan",
        description="Compile the training step for chips that need not be here, and say what it "
        "takes on them.",
        epilog="Change fields with --config.FIELD=VALUE; configs/default.py explains all of them.",
        allow_abbrev=False,
    )
    parser.add_argument("--topology", metavar="KIND:AxB", help=f"what to run on: {KINDS}")
    parser.add_argument(
        "--slices", type=int, default=1, metavar="N", help="that many of them; default: 1"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    config, known = parse_experiment(
        parser,
        sys.argv[1:] if argv is None else argv,
        "--topology=KIND:AxB, --slices=N, --json",
    )
    if not known.topology:
        raise InputError(f"nothing to plan for: say --topology=, one of {KINDS}")
    target = find_target(known.topology, known.slices)
    config = prepare(config, target)
    if target.is_tpu:  # what JAX keeps of these programs, it cannot read without a TPU
        jax.config.update("jax_enable_compilation_cache", False)
    try:
        return _plan(known.config, config, target, known.json)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # a compilation goes on until its end otherwise


def prepare(config: ConfigDict, target: Target) -> ConfigDict:
    """Return a config as it would be trained on the target; raises `InputError` if it cannot be."""
    config = config.copy_and_resolve_references()
    if target.is_tpu and config.dtype == "auto":
        config.dtype = "bfloat16"  # the networks ask the devices that are here
    check_config(config, len(target.devices))
    return config


def _plan(name: str, config: ConfigDict, target: Target, as_json: bool) -> int:
    figures = interruptible(functools.partial(measure, config, target, _say))
    result = as_dict(name, config, target, figures)
    if not as_json:
        print(describe(name, config, target, figures), flush=True)
    well = target.chip is None or fits(figures, target.chip)
    if not well:
        found = None
        for changes, other, figures in search(config, target):
            text = summarize(changes, other, figures)
            _say(text) if as_json else print(text, flush=True)
            if other.chip is not None and fits(figures, other.chip):
                found = as_dict(name, apply(config, changes), other, figures)
                found["settings"] = changes
                break
        result["would_fit"] = found
        if not as_json:
            print("→ take this" if found else "→ none of these fits: take larger chips")
    if as_json:
        print(json.dumps(result, indent=1))
    return 0 if well else 1


def search(config: ConfigDict, target: Target) -> Iterator[tuple[Changes, Target, Figures]]:
    """Compile what takes less memory, from what costs least on; yields each as it is known."""
    for changes in candidates(config, target):
        fields = dict(changes)
        topology = fields.pop("topology", target.topology)
        other = target if topology == target.topology else find_target(topology, target.slices)
        try:
            changed = prepare(apply(config, fields), other)
        except InputError:
            continue  # such as parts of a batch that are not whole pictures
        words = " ".join(f"{field}={value}" for field, value in changes.items())
        _say(f"trying {words}")
        work = functools.partial(measure, changed, other, _say)
        yield changes, other, interruptible(work)


def candidates(config: ConfigDict, target: Target) -> Iterator[Changes]:
    """Yield changes of a config that make it take less memory, from what costs least on.

    {'section.field': value}; 'topology' stands for the chips. Recomputing comes first: it takes
    more away than halving the pictures that are gone through at once does.
    """
    train, chips = config.train, len(target.devices)
    per_chip = train.batch_size // chips
    least: Changes = {}
    for remat in ("convolutions", "all"):
        if train.remat != "all" and train.remat != remat:
            least = {"train.remat": remat}
            yield least
    parts = 2 * train.accumulate
    while parts <= per_chip:
        if per_chip % parts == 0:
            yield least | {"train.accumulate": parts}
        parts *= 2
    if not config.model.light:
        yield {"model.light": True}
    if per_chip > 1:
        yield least | {"train.batch_size": chips, "train.accumulate": 1}
    if (topology := larger(target.topology)) is not None:
        batch = max(train.batch_size, 2 * chips)
        yield least | {"topology": topology, "train.batch_size": batch, "train.accumulate": 1}


def apply(config: ConfigDict, changes: Changes) -> ConfigDict:
    """Return a copy of a config with other values of some fields; chips are no field."""
    config = config.copy_and_resolve_references()
    for field, value in changes.items():
        if field != "topology":
            override(config, field, str(value))
    return config


def interruptible(work: Callable[[], T]) -> T:
    """Do work that a Ctrl-C is to end at once, which compilers never notice."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.5)
    if errors:
        raise errors[0]
    return results[0]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
