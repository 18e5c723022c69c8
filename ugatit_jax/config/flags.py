"""The command line of a training: an experiment's file, and changes to its fields.

--config=NAME or --config=NAME:VARIANT    an experiment that comes with the program; or a file:
                                          Python with a function get_config(variant), or the
                                          config.json of a run
--config.SECTION.FIELD=VALUE              as often as need be, also with a space for the =; the last
                                          one counts
--list, --print-config                    say what there is, what it comes to, and end
--dry-run           check everything short of compiling, say what would be done, and end
--workdir=FOLDER    or gs://BUCKET/NAME
--continue          go on with a run although config or pictures are not what they were
--coordinator=HOST:PORT --num-processes=N --process-id=I    where nothing else knows them
"""

import argparse
import ast
import difflib
import re
import runpy
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ugatit_jax.config.catalogue import EXPERIMENTS, experiments, list_experiments
from ugatit_jax.config.records import Origin, different_fields, flatten, load_config
from ugatit_jax.console.errors import InputError, Parser, in_a_line
from ugatit_jax.data.storage import AnyPath, path_argument
from ugatit_jax.devices.cluster import Cluster

_KINDS = {bool: "True or False", int: "a whole number", float: "a number"}


class Command(NamedTuple):
    """What a command line asks for.

    changed: to go on with a run that was another. dry: to check all that can be, and end. origin:
    the experiment, and what differs from it.
    """

    config: ConfigDict
    workdir: AnyPath
    cluster: Cluster
    changed: bool
    dry: bool
    origin: Origin


class _List(argparse.Action):
    """Print the experiments and the words that may follow their names, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(list_experiments())
        parser.exit()


def make_parser() -> Parser:
    """Return the parser of a training's command line."""
    parser = Parser(
        prog="ugatit train",
        description="Train, or go on with the training that is in the workdir.",
        examples=(
            "ugatit train --config=folder --config.data.source=my_pictures --workdir=runs/mine",
            "ugatit train --config=horse2zebra:light --config.train.batch_size=4",
        ),
        allow_abbrev=False,
    )
    add_experiment(parser)
    parser.add_argument(
        "--workdir",
        metavar="FOLDER",
        type=path_argument,
        help="the run's folder, or its address gs://…; default: runs/NAME-VARIANT of --config",
    )
    parser.add_argument(
        "--continue",
        dest="changed",
        action="store_true",
        help="go on with a run although config or pictures are not what they were",
    )
    parser.add_argument(
        "--dry-run",
        dest="dry",
        action="store_true",
        help="check everything short of compiling, say what would be trained, write nothing, and "
        "end",
    )
    _add_cluster(parser)
    return parser


def parse_flags(argv: Sequence[str]) -> Command:
    """Return what the command line of a training asks for.

    argv: without the program. Raises `InputError` for an argument, a file, a variant, a field or
    a value that is none.
    """
    config, known = parse_experiment(
        make_parser(),
        argv,
        "--workdir=FOLDER, --continue, --dry-run, and what --help says of several processes",
    )
    workdir = known.workdir or _default_workdir(known.config)
    origin = Origin(known.config, known.changes)
    return Command(config, workdir, _cluster(known), known.changed, known.dry, origin)


def _default_workdir(experiment: str) -> Path:
    """A folder of its own for every experiment and variant; of a run's config: that run's."""
    file, _, variant = experiment.partition(":")
    if Path(file).suffix == ".json":
        return Path(file).parent
    return Path("runs", "-".join([Path(file).stem, *filter(None, variant.split(","))]))


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add to a parser what names an experiment, and what says more of it."""
    parser.add_argument(
        "--config",
        metavar="NAME[:WORDS]",
        help="the experiment: one that --list names, with words that change what is trained, such "
        "as folder:light; a .py file of your own; or the config.json of a run",
    )
    parser.add_argument(
        "--list", action=_List, nargs=0, help="print the experiments and their words, and end"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print every field as it would be, in the form of a config.json, and end",
    )
    parser.add_argument_group(
        "fields of the experiment",
        "--config.FIELD=VALUE, such as --config.train.batch_size=8, as often as need be; "
        "--print-config shows all, docs/config.md explains them",
    )


def parse_experiment(
    parser: argparse.ArgumentParser, argv: Sequence[str], others: str
) -> tuple[ConfigDict, argparse.Namespace]:
    """Return the config that a command line asks for, and what else its parser read.

    That has `changes`, too: the fields that are not as the experiment has them, as in `Origin`.

    parser: with what `add_experiment` adds. argv: without the program. others: the parser's own
    arguments, as a mistake's message lists them. Raises `InputError` for an argument, a file, a
    variant, a field or a value that is none, and `SystemExit` once --print-config has printed.
    """
    known, rest = parser.parse_known_args(_with_values(argv))
    if not known.config:
        raise InputError(f"no experiment: say --config=NAME; {_there_are()}")
    config = load_experiment(known.config)
    before = config.copy_and_resolve_references()
    for argument in rest:
        match = re.fullmatch(r"--config\.([\w.]+)=(.*)", argument, re.DOTALL)
        if match is None and re.fullmatch(r"--config\.[\w.]+", argument):
            raise InputError(f"{argument} has no value: say {argument}=VALUE")
        if match is None:
            raise InputError(
                f"unknown argument {argument!r}; there are --config=NAME, "
                f"--config.FIELD=VALUE, {others}"
            )
        override(config, *match.groups())
    known.changes = different_fields(config, before)
    if known.print_config:
        print(config.to_json(indent=2))
        raise SystemExit(0)
    return config, known


def _with_values(argv: Sequence[str]) -> list[str]:
    """Write '--config.FIELD', 'VALUE' as '--config.FIELD=VALUE'."""
    written: list[str] = []
    for argument in argv:
        before = written[-1] if written else ""
        if re.fullmatch(r"--config\.[\w.]+", before) and not argument.startswith("--"):
            written[-1] = f"{before}={argument}"
        else:
            written.append(argument)
    return written


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "several processes", "not needed where Slurm, Cloud TPU or Kubernetes starts them"
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    group.add_argument("--num-processes", type=int, metavar="N", help="how many there are")
    group.add_argument("--process-id", type=int, metavar="I", help="which one this is, from 0")
    group.add_argument(
        "--start-timeout",
        type=int,
        default=Cluster.start_timeout,
        metavar="SECONDS",
        help="how long to wait for the others at the start; default: %(default)s",
    )
    group.add_argument(
        "--heartbeat-timeout",
        type=int,
        default=Cluster.heartbeat_timeout,
        metavar="SECONDS",
        help="silence after which a process counts as dead; default: %(default)s",
    )


def _cluster(known: argparse.Namespace) -> Cluster:
    """Raises `InputError` for some of the three flags without the others."""
    names = ("coordinator", "num_processes", "process_id")
    given = {name: getattr(known, name) for name in names if getattr(known, name) is not None}
    if given and len(given) < len(names):
        missing = ", ".join(_flag(name) for name in names if name not in given)
        raise InputError(
            f"there is {_flag(next(iter(given)))} without {missing}: say all three of them or none"
        )
    cluster = Cluster(
        **given, start_timeout=known.start_timeout, heartbeat_timeout=known.heartbeat_timeout
    )
    cluster.check()
    return cluster


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def load_experiment(name: str) -> ConfigDict:
    """Return the config of 'NAME' or 'NAME:VARIANT'. Raises `InputError` if there is none.

    NAME is an experiment's that comes with the program; or a file, which is a program, and runs; or
    the config.json that a run has kept.
    """
    file, _, variant = name.partition(":")
    path = Path(file) if file not in experiments() else EXPERIMENTS / f"{file}.py"
    if not path.is_file():
        raise InputError(f"--config={name}: there is no file {path}; {_there_are()}")
    if path.suffix == ".json":
        if variant:
            raise InputError(
                f"--config={name}: a run's config has no variants; leave out :{variant}"
            )
        return load_config(path)
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
    except ImportError as error:
        raise InputError(f"--config={name}: {path} imports what is not there: {error}") from None
    except SyntaxError:
        get_config = None
    if not callable(get_config):
        raise InputError(f"--config={name}: {path} has no Python function get_config")
    try:
        return get_config(variant)
    except ValueError as error:  # what get_config raises for a variant that it does not have
        raise InputError(f"--config={name}: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:  # such as a field that there is not
        said = " ".join(str(error.args[0] if error.args else error).split())
        inside = [x for x in traceback.extract_tb(error.__traceback__) if x.filename == str(path)]
        line = f", line {inside[-1].lineno}" if inside else ""
        raise InputError(f"--config={name}: {path}{line}: {said}") from None


def override(config: ConfigDict, field: str, text: str) -> None:
    """Set 'section.name' to a text, read as a value of the type that the field has.

    Raises `InputError` if there is no such field, or if the text is not of its type.
    """
    fields = flatten(config)
    if field not in fields:
        raise InputError(f"there is no field config.{field}; {_instead_of(field, list(fields))}")
    old = fields[field]
    try:
        value = _read(text, old)
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        kind = _KINDS.get(type(old), f"like {old}")
        raise InputError(f"config.{field} is {in_a_line(repr(text))}; it must be {kind}") from None
    config.update_from_flattened_dict({field: value})


def _read(text: str, like: Any) -> Any:
    if isinstance(like, bool):
        return {"true": True, "false": False}[text.lower()]
    if isinstance(like, tuple):
        value = ast.literal_eval(text)
        if not isinstance(value, tuple) or [*map(type, value)] != [*map(type, like)]:
            raise ValueError
        return value
    return type(like)(text)


def _instead_of(field: str, fields: list[str]) -> str:
    """Say what might have been meant by a field that is none."""
    section, _, name = field.rpartition(".")
    by_name = [known.rpartition(".")[2] for known in fields]
    close = difflib.get_close_matches(name, by_name, cutoff=0.75)
    candidates = [f for f, its_name in zip(fields, by_name, strict=True) if its_name in close]
    if best := difflib.get_close_matches(field, candidates, n=1, cutoff=0):
        return f"did you mean config.{best[0]}?"
    for prefix in (f"{field}.", f"{section}."):
        if inside := [f"config.{f}" for f in fields if f.startswith(prefix)]:
            return f"there are {', '.join(inside)}"
    return "ugatit_jax/config/fields.py explains those that there are"


def _there_are() -> str:
    return f"there are {', '.join(experiments())}, or a file of your own"
