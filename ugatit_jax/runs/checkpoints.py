"""A run's checkpoints: saved in the background, restored on any devices, in whole or in part."""

import contextlib
import dataclasses
import functools
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers

from ugatit_jax.config.checks import build_trained
from ugatit_jax.config.records import load_config
from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.data.storage import (
    AnyPath,
    check_for_orbax,
    first_line,
    open_path,
    write_atomically,
)
from ugatit_jax.devices import distributed
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.methods.method import Method, Params, shapes
from ugatit_jax.methods.state import TrainState, create_state, translating
from ugatit_jax.runs import integrity
from ugatit_jax.runs.advice import check_run
from ugatit_jax.runs.directory import check_format, checkpoints_folder, saved_steps
from ugatit_jax.runs.exported_weights import read_exported
from ugatit_jax.runs.exports import is_exported
from ugatit_jax.runs.layout import FORMAT_1, FORMAT_2, layout_of
from ugatit_jax.runs.steps import Step

LOGGER = logging.getLogger(__name__)
FAILED = (ValueError, OSError)  # what orbax raises of files; ValueError is tensorstore's
TRANSLATING = (FORMAT_1.translating, FORMAT_2.translating)  # the items' names


@contextlib.contextmanager
def open_checkpoints(workdir: AnyPath, options: ConfigDict) -> Iterator[ocp.CheckpointManager]:
    """Open the manager of a run's checkpoints, which saves in the background.

    options: the config's section `checkpoint`. Raises `InputError` for what is no file among them,
    and, at its end, if the last one could not be saved.
    """
    integrity.refuse_odd_files(checkpoints_folder(workdir))
    with _manager(workdir, options) as checkpoints:
        yield checkpoints
        try:
            checkpoints.wait_until_finished()
        except FAILED as error:
            raise InputError(
                f"the last checkpoint could not be saved in {_folder_of(checkpoints)}: "
                f"{_explain(error)}; the same command goes on from step {checkpoints.latest_step()}"
            ) from error
        _record_new(checkpoints)


def _explain(error: Exception) -> str:
    """Say in a line why something could not be written; tensorstore hides it in its own."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(number[1])) if number else in_a_line(first_line(error))


def _record_new(checkpoints: ocp.CheckpointManager) -> None:
    """Keep checksums of the checkpoints that are written to their end, where there is room."""
    if jax.process_index() == 0:
        folder = _folder_of(checkpoints)
        try:
            integrity.record_new(folder, saved_steps(folder.parent))
        except OSError as error:  # they are as good without
            LOGGER.warning("no checksums of checkpoints were written: %s", _explain(error))


def _folder_of(checkpoints: ocp.CheckpointManager) -> AnyPath:
    return open_path(str(checkpoints.directory))


def _manager(workdir: AnyPath, options: ConfigDict) -> ocp.CheckpointManager:
    # Orbax says what is of no use to whoever trains, and of an error what is raised anyway.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    best = checkpoint_managers.BestN(
        get_metric_fn=_mean_kid, reverse=True, n=1, keep_checkpoints_without_metrics=False
    )
    keep = [checkpoint_managers.LatestN(options.keep), best]
    if options.keep_every:
        keep.append(checkpoint_managers.EveryNSteps(options.keep_every))
    return ocp.CheckpointManager(
        checkpoints_folder(workdir),
        options=ocp.CheckpointManagerOptions(
            best_fn=_mean_kid,
            best_mode="min",
            preservation_policy=checkpoint_managers.AnyPreservationPolicy(keep),
            cleanup_tmp_directories=True,
        ),
    )


def _mean_kid(kids: dict[str, float]) -> float:
    """What the best checkpoint is told by: KID to the target, mean of the directions."""
    return sum(kids.values()) / len(kids)


def save(
    checkpoints: ocp.CheckpointManager,
    method: Method,
    state: TrainState,
    kids: dict[str, float] | None = None,
) -> None:
    """Start to save a state under its step, unless it is there already.

    kids: KID to the target by direction of this state if it was measured. Where one cannot be
    written, as on a full disk, earlier ones stay whole, a line says so, and training can go on.
    """
    step = int(state.step)
    if step in checkpoints.all_steps():
        return
    # Orbax keeps an error in a second place, too, and may raise it once more.
    attempts = 1 if _settle(checkpoints) else 2
    items = FORMAT_2.to_items(method, state)
    arguments = {name: ocp.args.StandardSave(item) for name, item in items.items()}
    for left in reversed(range(attempts)):
        try:
            checkpoints.save(step, args=ocp.args.Composite(**arguments), metrics=kids)
            return
        except FAILED as error:
            if not left:
                LOGGER.warning("checkpoint %s was not saved: %s", step, _explain(error))


def newest(checkpoints: ocp.CheckpointManager) -> int | None:
    """Wait for what is being saved, and return the newest step there is."""
    _settle(checkpoints)
    return checkpoints.latest_step()


def _settle(checkpoints: ocp.CheckpointManager) -> bool:
    """Wait for what is being saved; a line says so, and False, where it could not be."""
    try:
        checkpoints.wait_until_finished()
        return True
    except FAILED as error:
        LOGGER.warning("the last checkpoint was not saved: %s", _explain(error))
        return False
    finally:
        _record_new(checkpoints)


def add_kids(
    checkpoints: ocp.CheckpointManager, workdir: AnyPath, step: int, kids: dict[str, float]
) -> None:
    """Give a checkpoint the KIDs that it was saved without, if it is there: it may be the best."""
    if step not in checkpoints.all_steps():
        return
    if jax.process_index() == 0:  # where orbax keeps them
        file = checkpoints_folder(workdir) / str(step) / "metrics" / "metrics"
        write_atomically(file, json.dumps(kids))
    distributed.wait_for_all("added KIDs")
    checkpoints.reload()


def restore(
    checkpoints: ocp.CheckpointManager, method: Method, state: TrainState, workdir: AnyPath
) -> TrainState:
    """Return the newest state of a run on `state`'s devices, or `state` itself if there is none.

    A checkpoint that is damaged is set aside, with a word to the user, and the one before it taken.
    Raises `InputError` if that leaves none.
    """
    step = _newest_whole(checkpoints)
    if step is None:
        return state
    folder = checkpoints_folder(workdir) / str(step)
    layout = layout_of(folder)
    wanted = layout.to_items(method, state)
    if not (folder / "ema").exists():
        wanted.pop("ema", None)
    found = layout.to_state(_restore_items(checkpoints, step, wanted))
    if state.ema is not None and found.ema is None:
        # A moving average that is switched on later starts from where the run is.
        start = jax.tree.map(jnp.copy, translating(method, found.params))
        found = dataclasses.replace(found, ema=start)
    return found


def _newest_whole(checkpoints: ocp.CheckpointManager) -> int | None:
    """Return the newest step whose checkpoint is as it was written; damaged ones are set aside."""
    folder, set_aside = _folder_of(checkpoints), []
    while (step := checkpoints.latest_step()) is not None:
        mine = integrity.find_damage(folder, step) if jax.process_index() == 0 else None
        damage = distributed.gather(mine)[0]
        if damage is None:
            return step
        if jax.process_index() == 0 and isinstance(folder, Path):
            where = integrity.set_aside(folder, step)
            LOGGER.warning("checkpoint %s is damaged, and now in %s: %s", step, where, damage)
        set_aside.append(step)
        distributed.wait_for_all(f"set checkpoint {step} aside")
        checkpoints.reload()
    if set_aside:
        raise InputError(
            f"no checkpoint in {folder} is whole; {', '.join(map(str, set_aside))} lie in "
            f"{folder.parent / 'damaged'} now: begin anew in another --workdir"
        )
    return None


class Trained(NamedTuple):
    """What translating needs of a run or an export, on the first local device."""

    config: ConfigDict
    step: int
    weights: dict[str, Any]  # {direction: tree}


def restore_weights(run_dir: AnyPath, step: Step = None) -> Trained:
    """Read from a run directory, or an exported folder, all that translating needs, and no more.

    The weights are the moving average where the run has one. `step` None is the newest, 'best' that
    of the lowest KID while training. An exported folder has one step, and maybe one direction.
    Raises `InputError` if there is no such checkpoint.
    """
    if is_exported(run_dir):
        config, exported, weights = read_exported(run_dir)
        if step not in (None, exported):
            raise InputError(f"{run_dir} is an export of step {exported} alone: leave out --step")
        return Trained(config, exported, jax.device_put(weights, jax.local_devices()[0]))
    with _open_to_read(run_dir, step, {"ema", *TRANSLATING}) as (config, step, checkpoints):
        method, (params, _) = build_trained(config, run_dir / "config.json", shapes)
        layout = layout_of(checkpoints_folder(run_dir) / str(step))
        name = "ema" if has_average(run_dir, step) else layout.translating
        item = _on_first_device(layout.unwrap(translating(method, params)))
        groups = layout.wrap(_restore_items(checkpoints, step, {name: item})[name])
        weights = {way: method.select(groups, way) for way in method.directions}
        return Trained(config, step, weights)


def has_average(run_dir: AnyPath, step: int) -> bool:
    """Tell whether a run's checkpoint holds the moving average of what translates."""
    return (checkpoints_folder(run_dir) / str(step) / "ema").exists()


def restore_state(run_dir: AnyPath, step: Step = None) -> tuple[ConfigDict, TrainState]:
    """Read the config and a whole state, but for a moving average, as `restore_weights` does."""
    with _open_to_read(run_dir, step) as (config, step, checkpoints):
        method, state = build_trained(config, run_dir / "config.json", _first_state(config))
        layout = layout_of(checkpoints_folder(run_dir) / str(step))
        found = _restore_items(checkpoints, step, layout.to_items(method, state))
    return config, layout.to_state(found)


def restore_judges(run_dir: AnyPath, step: Step = None) -> tuple[ConfigDict, Params, Any]:
    """Read the groups that translating does not need, and no optimiser.

    Returns the run's config, the groups, and what moves without a gradient, on the first local
    device. `step` and errors are as for `restore_weights`.
    """
    with _open_to_read(run_dir, step, {"training"}) as (config, step, checkpoints):
        method, state = build_trained(config, run_dir / "config.json", _first_state(config))
        layout = layout_of(checkpoints_folder(run_dir) / str(step))
        wanted = layout.to_items(method, state)["training"]
        wanted = {name: x for name, x in wanted.items() if "optimizer" not in name}
        arguments = ocp.args.PyTreeRestore(
            wanted,
            restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
            partial_restore=True,  # the optimisers' moments lie beside them
        )
        found = _read(checkpoints, step, {"training": arguments})["training"]
        items = layout.to_items(method, state)
        items["training"] |= found
        judges = layout.to_state(items)
    params = {name: x for name, x in judges.params.items() if name not in method.translating}
    return config, params, judges.other


def describe_checkpoint(run_dir: AnyPath, step: int) -> dict[str, Any]:
    """Say which of a run's checkpoints one is.

    Returns 'step'; 'is', any of 'final', 'newest' (of a run that is not at its end) and 'best'; the
    'newest_step' and 'best_step' there are, and 'kid_x100_while_training' of each direction, both
    None where it was not measured.
    """
    with _open_to_read(run_dir, step, set()) as (config, _, checkpoints):
        newest, best = max(checkpoints.all_steps()), _best_step(checkpoints)
        kids = checkpoints.metrics(step)
    newest_is = "final" if newest >= config.train.steps else "newest"
    named = [name for name, which in ((newest_is, newest), ("best", best)) if which == step]
    return {
        "step": step,
        "is": named,
        "newest_step": newest,
        "best_step": best,
        "kid_x100_while_training": kids and {name: 100 * kid for name, kid in kids.items()},
    }


def _best_step(checkpoints: ocp.CheckpointManager) -> int | None:
    kids = {step: checkpoints.metrics(step) for step in checkpoints.all_steps()}
    measured = [step for step in kids if kids[step]]
    return min(measured, key=lambda step: (_mean_kid(kids[step]), step), default=None)


def _first_state(config: ConfigDict) -> Callable[[Method], TrainState]:
    """Return what describes a method's state, whose moving average is of no interest."""

    def describe(method: Method) -> TrainState:
        create = functools.partial(create_state, method, config.train, config.seed)
        return _on_first_device(dataclasses.replace(jax.eval_shape(create), ema=None))

    return describe


@contextlib.contextmanager
def _open_to_read(
    run_dir: AnyPath, step: Step, items: set[str] | None = None
) -> Iterator[tuple[ConfigDict, int, ocp.CheckpointManager]]:
    """Open a run's checkpoints, and find the one that is meant; `items` of it will be read.

    The newest one is the newest whole one, with a word to the user if another is newer.
    """
    check_run(run_dir)
    folder = checkpoints_folder(run_dir)
    check_for_orbax(run_dir)
    check_format(run_dir)
    config = load_config(run_dir / "config.json")
    integrity.refuse_odd_files(folder)
    logging.getLogger("absl").setLevel(logging.ERROR)
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager(folder, options=options) as checkpoints:
        steps = sorted(checkpoints.all_steps())
        if step == "best":
            step = _best_step(checkpoints)
            if step is None:
                raise InputError(
                    f"no checkpoint in {folder} knows its KID: train with config.eval.every, or "
                    "say which --step"
                )
        if not steps or step not in (None, *steps):
            there = f"there are those of {', '.join(map(str, steps))}"
            if not steps:
                every = config.checkpoint.every
                there = f"there is none yet; training saves one every {every:,} steps"
            wanted = "" if step is None else f" of step {step}"
            raise InputError(f"no checkpoint{wanted} in {folder}: {there}")
        yield config, _choose(folder, steps, step, items), checkpoints


def _choose(folder: AnyPath, steps: list[int], step: int | None, items: set[str] | None) -> int:
    """Return `step`, or the newest of `steps` for None, if it is as it was written."""
    damaged: list[str] = []
    for each in reversed(steps) if step is None else [step]:
        damage = integrity.find_damage(folder, each, items)
        if damage is None:
            if damaged:
                LOGGER.warning("taking step %s, as newer ones are damaged: %s", each, damaged[-1])
            return each
        damaged.append(damage)
    others = "" if step is None else "; say another --step, or leave it out for the newest whole"
    raise InputError(f"damaged: {damaged[0]}{others or '; no checkpoint is whole'}")


def _restore_items(
    checkpoints: ocp.CheckpointManager, step: int, items: dict[str, Any]
) -> dict[str, Any]:
    """Return the named items, shaped and placed like the given (maybe abstract) trees."""
    abstract = {name: jax.tree.map(ocp.utils.to_shape_dtype_struct, x) for name, x in items.items()}
    arguments = {name: ocp.args.StandardRestore(x) for name, x in abstract.items()}
    found = _read(checkpoints, step, arguments)
    return {name: found[name] for name in items}


def _read(checkpoints: ocp.CheckpointManager, step: int, arguments: dict[str, Any]) -> Any:
    """Read items of a checkpoint. Raises `InputError` for one that is not as orbax writes it."""
    try:
        return checkpoints.restore(step, args=ocp.args.Composite(**arguments))
    except Exception as error:  # what orbax keeps of its arrays beside them may be anything
        raise InputError(
            f"cannot read checkpoint {step} in {_folder_of(checkpoints)}: {_explain(error)}; "
            "move it elsewhere, and the one before it is taken"
        ) from error


def _on_first_device(tree: Any) -> Any:
    place = replicated(make_mesh(jax.local_devices()[:1]))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)
