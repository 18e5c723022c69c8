"""Export a run's generators: a slim folder that translates, with this program or with JAX alone.

    python -m ugatit_jax.export RUN_DIR --out DIR

`Translator.load` and `python -m ugatit_jax.translate` take DIR in the place of a run directory.
Without this program:

    program = jax.export.deserialize(Path("DIR/generator.stablehlo").read_bytes())
    weights = safetensors.numpy.load_file("DIR/a2b.safetensors")
    translated = jax.jit(program.call)(weights, pictures)  # uint8 [N, H, W, 3], any N
"""

import sys
from collections.abc import Sequence

from ugatit_jax.console.errors import Parser, exit_on_input_error
from ugatit_jax.data.storage import folder_argument, path_argument
from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.runs.exports import DTYPES
from ugatit_jax.runs.steps import parse_step


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit export",
        description="Write the generators of a run into a slim folder of their own.",
        examples=(
            "ugatit export runs/mine --out=exported",
            "ugatit export runs/mine --out=small --dtype=bfloat16 --direction=a2b --step=best",
        ),
    )
    parser.add_argument(
        "run_dir", type=path_argument, metavar="RUN_DIR", help="what a training wrote"
    )
    parser.add_argument(
        "--out", type=folder_argument, required=True, metavar="DIR", help="a new folder"
    )
    parser.add_argument(
        "--step",
        type=parse_step,
        metavar="STEP",
        help="of the checkpoint: a number, or best, that of the lowest KID; default: the newest",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="of the weights; default: float32"
    )
    parser.add_argument(
        "--direction", choices=(*DIRECTIONS, "both"), default="both", help="default: all there are"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    # Not above, where --help would wait for it, and below for JAX, for seconds.
    from ugatit_jax.runs.advice import check_run

    check_run(args.run_dir, or_export=True)
    from ugatit_jax.inference.exporting import export_run

    directions = None if args.direction == "both" else (args.direction,)
    description = export_run(
        args.run_dir, args.out, args.step, args.dtype, directions, args.overwrite
    )
    print(f"{args.out}: step {description['step']}, {description['weights']} weights")
    for name, file in description["files"].items():
        print(f"  {file['bytes']:>13,} bytes  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
