"""A run directory: checkpoints, the config, and what program made them.

config.json            the config of the newest start
run.json               a record per start: date, step, command, versions, git revision, devices
checkpoints/STEP/      generators/ (and ema/): all that translating needs; training/: the rest
samples/  events.*     what training writes for people to look at
"""

import argparse
import contextlib
import functools
import importlib.metadata
import json
import logging
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers

import ugatit_jax
from ugatit_jax.config.checks import (
    architecture_differences,
    different_fields,
    load_config,
    save_config,
)
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.storage import (
    AnyPath,
    check_for_orbax,
    first_line,
    make_folder,
    parents,
    resolve,
    write_atomically,
)
from ugatit_jax.devices.sharding import make_mesh, replicated
from ugatit_jax.runs.exported import is_exported, parameter_shapes, read_description, read_exported
from ugatit_jax.training.step import TrainState, create_state

FORMAT = 1  # of the run directory; a newer program may write a higher one
WEIGHTS = re.compile(r".*\.(pt|index|data-\d+-of-\d+)")  # of the authors' implementations
IMPORT = "python -m ugatit_jax.interop.import_weights"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")


def open_checkpoints(workdir: AnyPath, config: ConfigDict) -> ocp.CheckpointManager:
    """Return the manager of a run's checkpoints; it saves in the background."""
    # Orbax says at INFO and WARNING what is of no use to whoever trains.
    logging.getLogger("absl").setLevel(logging.ERROR)
    checkpoint = config.checkpoint
    best = checkpoint_managers.BestN(
        get_metric_fn=_mean_kid, reverse=True, n=1, keep_checkpoints_without_metrics=False
    )
    keep = [checkpoint_managers.LatestN(checkpoint.keep), best]
    if checkpoint.keep_every:
        keep.append(checkpoint_managers.EveryNSteps(checkpoint.keep_every))
    options = ocp.CheckpointManagerOptions(
        best_fn=_mean_kid,
        best_mode="min",
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(keep),
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager(_folder(workdir), options=options)


def _mean_kid(kids: dict[str, float]) -> float:
    """What the best checkpoint is told by: KID to the target, mean of the two directions."""
    return (kids["a2b"] + kids["b2a"]) / 2


def save(
    checkpoints: ocp.CheckpointManager, state: TrainState, kids: dict[str, float] | None = None
) -> None:
    """Start to save a state under its step, unless it is there already.

    kids: KID to the target by direction, {'a2b', 'b2a'}, of this state if it was measured.
    """
    step = int(state.step)
    if step in checkpoints.all_steps():
        return
    items = {"generators": state.generators, "training": _rest(state)}
    if state.ema is not None:
        items["ema"] = state.ema
    checkpoints.save(
        step,
        args=ocp.args.Composite(
            **{name: ocp.args.StandardSave(item) for name, item in items.items()}
        ),
        metrics=kids,
    )


def restore(checkpoints: ocp.CheckpointManager, state: TrainState, workdir: AnyPath) -> TrainState:
    """Return the newest state of a run on `state`'s devices, or `state` itself if there is none."""
    step = checkpoints.latest_step()
    if step is None:
        return state
    items = {"generators": state.generators, "training": _rest(state)}
    if state.ema is not None and (_folder(workdir) / str(step) / "ema").exists():
        items["ema"] = state.ema
    found = _restore_items(checkpoints, step, items)
    generators = found["generators"]
    ema = state.ema
    if ema is not None:  # a moving average that is switched on later starts from where the run is
        ema = found.get("ema") or jax.tree.map(jnp.copy, generators)
    return TrainState(generators=generators, ema=ema, **found["training"])


Step = int | Literal["best"] | None


def parse_step(text: str) -> Step:
    """Read --step of a command line: a number, or 'best'."""
    if text != "best" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor best")
    return "best" if text == "best" else int(text)


def restore_generators(
    run_dir: AnyPath, step: Step = None
) -> tuple[ConfigDict, int, dict[str, Any]]:
    """Read from a run directory, or an exported folder, all that translating needs, and no more.

    Returns the run's config, the step, and the parameters {'a2b', 'b2a'} on the first local
    device: the moving average where the run has one. `step` None is the newest, 'best' that of the
    lowest KID while training. An exported folder has one step, and maybe one direction. Raises
    `InputError` if there is no such checkpoint.
    """
    if is_exported(run_dir):
        config, exported, params = read_exported(run_dir)
        if step not in (None, exported):
            raise InputError(f"{run_dir} is an export of step {exported} alone: leave out --step")
        return config, exported, jax.device_put(params, jax.local_devices()[0])
    with _open_to_read(run_dir, step) as (config, step, checkpoints):
        name = "ema" if has_average(run_dir, step) else "generators"
        shapes = parameter_shapes(config)
        items = {name: _on_first_device({"a2b": shapes, "b2a": shapes})}
        return config, step, _restore_items(checkpoints, step, items)[name]


def has_average(run_dir: AnyPath, step: int) -> bool:
    """Tell whether a run's checkpoint holds the moving average of its generators."""
    return (_folder(run_dir) / str(step) / "ema").exists()


def restore_state(run_dir: AnyPath, step: Step = None) -> tuple[ConfigDict, TrainState]:
    """Read the config and a whole state, but for a moving average, as `restore_generators` does."""
    with _open_to_read(run_dir, step) as (config, step, checkpoints):
        state = _on_first_device(jax.eval_shape(functools.partial(create_state, config)))
        items = {"generators": state.generators, "training": _rest(state)}
        found = _restore_items(checkpoints, step, items)
    return config, TrainState(generators=found["generators"], ema=None, **found["training"])


def restore_discriminators(
    run_dir: AnyPath, domain: str, step: Step = None
) -> tuple[ConfigDict, dict[str, Any], dict[str, Any]]:
    """Read a domain's discriminators, and nothing else that training holds.

    domain: 'a' or 'b', of the pictures that they judge. Returns the run's config, the parameters
    and the singular vectors, both {domain: {'local', 'global'}}, on the first local device. `step`
    and errors are as for `restore_generators`.
    """
    with _open_to_read(run_dir, step) as (config, step, checkpoints):
        state = _on_first_device(jax.eval_shape(functools.partial(create_state, config)))
        fields = ("discriminators", "spectral")
        wanted = {name: {domain: getattr(state, name)[domain]} for name in fields}
        arguments = ocp.args.PyTreeRestore(
            wanted,
            restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
            partial_restore=True,  # the optimisers' moments lie beside them
        )
        found = checkpoints.restore(step, args=ocp.args.Composite(training=arguments))["training"]
    return config, found["discriminators"], found["spectral"]


def describe_checkpoint(run_dir: AnyPath, step: int) -> dict[str, Any]:
    """Say which of a run's checkpoints one is.

    Returns 'step'; 'is', any of 'final', 'newest' (of a run that is not at its end) and 'best'; the
    'newest_step' and 'best_step' there are, and 'kid_x100_while_training' of each direction, both
    None where it was not measured.
    """
    with _open_to_read(run_dir, step) as (config, _, checkpoints):
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


@contextlib.contextmanager
def _open_to_read(
    run_dir: AnyPath, step: Step
) -> Iterator[tuple[ConfigDict, int, ocp.CheckpointManager]]:
    folder = _folder(run_dir)
    if not folder.is_dir():
        raise InputError(f"no run in {run_dir}: {_what_is_there(run_dir)}")
    check_for_orbax(run_dir)
    _check_format(run_dir)
    config = load_config(run_dir / "config.json")
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
        yield config, steps[-1] if step is None else step, checkpoints


def prepare_run(workdir: AnyPath, config: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Make the run directory, or check that its checkpoints are of use with this config.

    Returns the fields that differ from the run's newest start, {name: (now, then)}. Raises
    `InputError` if one of them makes its parameters useless, if a newer program made the run, or if
    there can be no such folder.
    """
    if is_exported(workdir):
        raise InputError(f"{workdir} holds an export: take another --workdir")
    check_for_orbax(workdir)
    _check_format(workdir)
    if not saved_steps(workdir):
        try:
            make_folder(workdir)
        except OSError as error:
            raise InputError(
                f"cannot make the folder {workdir}: {first_line(error)}; say another --workdir"
            ) from None
        return {}
    before = load_config(workdir / "config.json")
    if differences := architecture_differences(config, before):
        fields = ", ".join(
            f"config.{f} is {now!r} and was {then!r}" for f, (now, then) in differences.items()
        )
        raise InputError(
            f"the run in {workdir} has another architecture: {fields}; "
            "take the values that it had, or another --workdir"
        )
    return different_fields(config, before)


def saved_steps(workdir: AnyPath) -> list[int]:
    """Return the steps whose checkpoints a run directory has, or none if there is no such run."""
    steps = (path for path in _folder(workdir).glob("*") if path.name.isdigit())
    return sorted(int(path.name) for path in steps if _is_complete(path))


def _is_complete(checkpoint: AnyPath) -> bool:
    # A bucket's folders cannot be renamed: orbax marks there what it renames elsewhere.
    return isinstance(checkpoint, Path) or (checkpoint / "commit_success.txt").exists()


def record_start(workdir: AnyPath, config: ConfigDict, step: int) -> None:
    """Write config.json, and add this start to run.json."""
    path = workdir / "run.json"
    record: dict[str, Any] = {"format": FORMAT, "starts": []}
    if path.exists():
        record = json.loads(path.read_text())
    record["starts"].append(
        {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "step": step,
            "command": sys.argv,
            "devices": [device.device_kind for device in jax.devices()],
            "git": _git_revision(),
            "versions": {"ugatit_jax": ugatit_jax.__version__, "python": platform.python_version()}
            | {package: importlib.metadata.version(package) for package in PACKAGES},
        }
    )
    write_atomically(path, json.dumps(record, indent=2) + "\n")
    save_config(config, workdir / "config.json")


def _check_format(workdir: AnyPath) -> None:
    if (workdir / "run.json").exists():
        read_description(workdir / "run.json", FORMAT)


def _folder(workdir: AnyPath) -> AnyPath:
    # Orbax takes no relative paths, and epath mistakes an address for one.
    return (workdir.absolute() if isinstance(workdir, Path) else workdir) / "checkpoints"


def _rest(state: TrainState) -> dict[str, Any]:
    fields = {name: getattr(state, name) for name in state.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name not in ("generators", "ema")}


def _restore_items(
    checkpoints: ocp.CheckpointManager, step: int, items: dict[str, Any]
) -> dict[str, Any]:
    """Return the named items, shaped and placed like the given (maybe abstract) trees."""
    abstract = {name: jax.tree.map(ocp.utils.to_shape_dtype_struct, x) for name, x in items.items()}
    arguments = {name: ocp.args.StandardRestore(x) for name, x in abstract.items()}
    found = checkpoints.restore(step, args=ocp.args.Composite(**arguments))
    return {name: found[name] for name in items}


def _on_first_device(tree: Any) -> Any:
    place = replicated(make_mesh(jax.local_devices()[:1]))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)


def _what_is_there(path: AnyPath) -> str:
    """Say what it is that was given in the place of a run directory, and what would do."""
    if is_exported(path):
        return "it is an export, with generators alone; give the run that it was made of"
    if Path(f"{path}.index").is_file() or (path.is_file() and WEIGHTS.fullmatch(path.name)):
        return f"these are weights; make a run of them: {IMPORT} {path} RUN_DIR"
    whole = resolve(path)
    for parent in parents(whole):
        if _folder(parent).is_dir():
            numbers = filter(str.isdigit, whole.relative_to(parent).parts)
            step = next((f" --step {number}" for number in numbers), "")
            return f"it is a part of the run {parent}; give {parent}{step}"
    if path.is_file():
        return "it is a file; give the folder that training wrote"
    return _contents(path)


def _contents(folder: AnyPath) -> str:
    if not folder.is_dir():
        runs = _runs_in(folder.parent) if parents(folder) else ""
        instead = f"; {folder.parent} holds the runs {runs}" if runs else ""
        return "there is no such folder" + instead
    if runs := _runs_in(folder):
        return f"it is a folder of runs; give one of them: {runs}"
    names = sorted(path.name for path in folder.iterdir())
    if weights := [name for name in names if WEIGHTS.fullmatch(name)]:
        given = folder / weights[-1]
        return f"it holds weights, {weights[-1]}; make a run of them: {IMPORT} {given} RUN_DIR"
    return f"it holds {_list(names)}, and no folder checkpoints" if names else "it is empty"


def _runs_in(folder: AnyPath) -> str:
    found = folder.iterdir() if folder.is_dir() else ()
    return _list(sorted(path.name for path in found if _folder(path).is_dir()))


def _list(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _git_revision() -> str | None:
    """Return the program's revision, with '+' if its files are changed; None outside git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        revision, changes = (
            subprocess.run([*git, *arguments], capture_output=True, text=True, check=True).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "."])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.strip() + ("+" if changes else "")
