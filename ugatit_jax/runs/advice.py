"""What to say of a path that was given in the place of a run directory."""

import re
from pathlib import Path

from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data.storage import AnyPath, parents, resolve
from ugatit_jax.runs.directory import checkpoints_folder, is_run
from ugatit_jax.runs.exports import is_exported

WEIGHTS = re.compile(r".*\.(pt|index|data-\d+-of-\d+)")  # of the authors' implementations
IMPORT = "python -m ugatit_jax.interop.import_weights"


def check_run(path: AnyPath, or_export: bool = False) -> None:
    """Raise `InputError` if a path is no run directory, and, if that may be, no export either."""
    if not is_run(path) and not (or_export and is_exported(path)):
        raise InputError(f"no run in {path}: {what_is_there(path)}")


def what_is_there(path: AnyPath) -> str:
    """Say what it is that was given in the place of a run directory, and what would do."""
    if is_exported(path):
        return "it is an export, with generators alone; give the run that it was made of"
    if Path(f"{path}.index").is_file() or (path.is_file() and WEIGHTS.fullmatch(path.name)):
        return f"these are weights; make a run of them: {IMPORT} {path} RUN_DIR"
    whole = resolve(path)
    for parent in parents(whole):
        if checkpoints_folder(parent).is_dir():
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
    return _list(sorted(path.name for path in found if checkpoints_folder(path).is_dir()))


def _list(names: list[str]) -> str:
    return ", ".join(map(printable, names[:5])) + (", …" if len(names) > 5 else "")
