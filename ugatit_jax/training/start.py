"""What has to be known before a training begins: all checks, and what the run is."""

import contextlib
from dataclasses import dataclass

import jax
from ml_collections import ConfigDict

from ugatit_jax.config.checks import check_config
from ugatit_jax.config.records import Origin
from ugatit_jax.console.errors import InputError
from ugatit_jax.console.extras import require
from ugatit_jax.data import datasets
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.devices import distributed
from ugatit_jax.devices.sharding import count_slices
from ugatit_jax.methods.method import Method
from ugatit_jax.runs.directory import Before, held, prepare_run, saved_steps
from ugatit_jax.runs.identity import Identity
from ugatit_jax.training.initial import Initial, read_initial
from ugatit_jax.training.kid_curve import KidCurve
from ugatit_jax.training.log import say


@dataclass(frozen=True)
class Training:
    """A training that can begin: everything has been checked, nothing compiled."""

    config: ConfigDict
    origin: Origin
    workdir: AnyPath
    saved: list[int]  # steps of its checkpoints
    method: Method
    dataset: datasets.Dataset
    kid_curve: KidCurve | None
    identity: Identity
    initial: Initial | None  # what a new run begins from, if from anything


def prepare(
    config: ConfigDict,
    workdir: AnyPath,
    changed: bool,
    until_the_end: contextlib.ExitStack,
    origin: Origin | None = None,
    dry: bool = False,
) -> Training:
    """Check everything, in all processes alike, and hold the run directory.

    changed: go on although config or pictures are not what they were. until_the_end: what is held
    is let go of with it. origin: what command lines know of the config. dry: write nothing into the
    run directory, and make none. Raises `InputError` in every process if one of them cannot go on.
    """
    with distributed.all_or_none() as same:
        if config.wandb:
            require("wandb", "config.wandb")
        method = check_config(config, jax.device_count(), count_slices(jax.devices()))
        before = prepare_run(workdir, config, dry)
        if jax.process_index() == 0:
            until_the_end.enter_context(held(workdir, dry))
        dataset = datasets.open_dataset(config.data)
        same["pictures"] = dataset.fingerprints()
        saved = same["checkpoints"] = saved_steps(workdir)
    if not dry:  # it takes a file that all of them see
        distributed.check_one_folder(workdir)
    was = before.identity if before else None
    broken = _find_broken(dataset, was)
    with distributed.all_or_none() as same:
        dataset = datasets.leave_out(dataset, broken, config.data.skip_bad)
        known = _identify(config, workdir, method, dataset, broken, before, changed)
        kid_curve, identity, initial = known
        same["config"] = identity.config
        same["what KID looks at"] = identity.features
        same["what losses look at"] = identity.fixed
    if errors := datasets.errors_of(broken):
        say("\n".join([f"left out {len(errors)} unreadable pictures:", *errors]))
    origin = origin or Origin.of_defaults(config)
    return Training(config, origin, workdir, saved, method, dataset, kid_curve, identity, initial)


def _find_broken(dataset: datasets.Dataset, was: Identity | None) -> datasets.Broken:
    """Decode all pictures, each process its share; none where they are those of the last start."""
    if was is not None:
        kept = datasets.leave_out(dataset, was.broken, skip_bad=True)
        if kept.fingerprints() == was.pictures:
            return was.broken
    with distributed.all_or_none():
        mine = datasets.find_broken(dataset, jax.process_index(), jax.process_count())
    broken: datasets.Broken = {}
    for share in distributed.gather(mine):
        for split, of_split in share.items():
            broken.setdefault(split, {}).update(of_split)
    return broken


def _identify(
    config: ConfigDict,
    workdir: AnyPath,
    method: Method,
    dataset: datasets.Dataset,
    broken: datasets.Broken,
    before: Before | None,
    changed: bool,
) -> tuple[KidCurve | None, Identity, Initial | None]:
    """Say what the run is, and check that it is what it was if it has begun before."""
    was = before.identity if before else None
    kid_curve = KidCurve.open(config.eval, config.data, method, dataset, workdir, was)
    features = kid_curve.features if kid_curve else None
    fixed = method.describe_fixed()
    identity = Identity.of(config, dataset.fingerprints(), features, broken, fixed)
    if before is not None and was is None:  # a program that knew its config alone
        was = Identity.of(before.config, identity.pictures, features, broken, fixed)
    if was and (differences := identity.differences(was)):
        if not changed:
            raise InputError(
                f"the run in {workdir} was another: {'; '.join(differences)}. Say --continue to go "
                "on like this, or take what it had, or another --workdir"
            )
        for difference in differences:
            say(f"from here on {difference}")
    initial = None
    if before is None and config.init_from:
        initial, taken = read_initial(config, method)
        say(taken)
    return kid_curve, identity, initial
