"""Write a run's weights as a file of the authors' PyTorch implementation.

    python -m ugatit_jax.interop.export_weights RUN_DIR FILE.pt

A run of the preset `tensorflow`, which that implementation cannot run, is refused. Adam's moments
and a moving average have no place in such files.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import jax

from ugatit_jax.console.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.data.storage import AnyPath, folder_argument, path_argument
from ugatit_jax.data.torch_file import write_torch_file
from ugatit_jax.interop.pytorch import export_networks
from ugatit_jax.methods.ugatit_checks import conventions_of
from ugatit_jax.models import Conventions
from ugatit_jax.runs.checkpoints import restore_state
from ugatit_jax.runs.steps import Step, parse_step


def export_weights(run_dir: AnyPath, file: Path, step: Step = None) -> int:
    """Write a run's newest checkpoint, or the one that `step` names, and return its step.

    Raises `InputError` if there is none, if its networks have no form in PyTorch's implementation,
    or if the file cannot be written; one that was there is then as it was.
    """
    config, state = restore_state(run_dir, step)
    if config.method != "ugatit":
        raise InputError(f"{run_dir} is no U-GAT-IT, but {config.method}")
    if config.model.skip != "none":
        raise InputError(
            f"{run_dir} has config.model.skip = {config.model.skip}; the authors' PyTorch "
            "implementation adds nothing of the input"
        )
    theirs = dataclasses.asdict(Conventions(rho_start=config.model.rho_start))
    for field, value in dataclasses.asdict(conventions_of(config.model)).items():
        if value != theirs[field]:
            raise InputError(
                f"{run_dir} has config.model.{field} = {value}; the authors' PyTorch "
                f"implementation knows {theirs[field]} only"
            )
    networks = export_networks(jax.device_get(state), config)
    try:
        with TemporaryDirectory(prefix=".unfinished-", dir=file.parent) as folder:
            unfinished = Path(folder) / file.name
            write_torch_file(unfinished, networks)
            unfinished.replace(file)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None
    return int(state.step)


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit export-weights",
        description="Write a run's weights as a file of U-GAT-IT's PyTorch implementation.",
        examples=(
            "ugatit export-weights runs/mine mine.pt",
            "ugatit export-weights runs/mine best.pt --step=best",
        ),
    )
    parser.add_argument(
        "run_dir", type=path_argument, metavar="RUN_DIR", help="what a training wrote"
    )
    parser.add_argument(
        "file", type=folder_argument, metavar="FILE.pt", help="to write; replaced if it is there"
    )
    parser.add_argument(
        "--step",
        type=parse_step,
        metavar="STEP",
        help="of the checkpoint: a number, or best, that of the lowest KID; default: the newest",
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    step = export_weights(args.run_dir, args.file, args.step)
    print(f"{args.file}: the weights of step {step}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
