"""Export a run's generators: a slim folder that translates, with this program or with JAX alone.

    python -m ugatit_jax.export RUN_DIR --out DIR

`Translator.load` and `python -m ugatit_jax.translate` take DIR in the place of a run directory.
Without this program:

    program = jax.export.deserialize(Path("DIR/generator.stablehlo").read_bytes())
    weights = safetensors.numpy.load_file("DIR/a2b.safetensors")
    translated = jax.jit(program.call)(weights, pictures)  # uint8 [N, H, W, 3], any N

    python -m ugatit_jax.export RUN_DIR --out DIR --format=onnx --dtype=float16

DIR/a2b.onnx takes and returns the same, weights included, in any program that runs ONNX.
--dtype=int8 measures ranges on training pictures: the run's, or those of --data.
"""

import sys
from collections.abc import Sequence

from ugatit_jax.console.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.console.extras import require
from ugatit_jax.data.storage import folder_argument
from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.runs.exports import DTYPES
from ugatit_jax.runs.steps import parse_step
from ugatit_jax.runs.trained import model_argument


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
        "run_dir",
        type=model_argument,
        metavar="RUN_DIR",
        help="what a training wrote; for ONNX an export or emoji will do, too",
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
        "--format",
        choices=("jax", "onnx"),
        default="jax",
        help="jax: safetensors and StableHLO, which this program reads, too; default: jax",
    )
    parser.add_argument(
        "--dtype",
        choices=(*DTYPES, "float16", "int8"),
        default="float32",
        help="of the weights: bfloat16, or of ONNX float16 or int8; default: float32",
    )
    parser.add_argument(
        "--data",
        default="",
        metavar="SOURCE",
        help="for int8: the data set whose training pictures ranges are measured on, as "
        "config.data.source names it; default: the run's",
    )
    parser.add_argument(
        "--direction", choices=(*DIRECTIONS, "both"), default="both", help="default: all there are"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    parser.add_argument(
        "--card", action="store_true", help="write a model card, too: README.md, as hubs read it"
    )
    parser.add_argument(
        "--licence", default="", metavar="SPDX", help="that the card names, such as cc-by-4.0"
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    # Not above, where --help would wait for it, and below for JAX, for seconds.
    from ugatit_jax.runs.advice import check_run

    check_run(args.run_dir, or_export=True)
    directions = None if args.direction == "both" else (args.direction,)
    arguments = args.run_dir, args.out, args.step, args.dtype, directions, args.overwrite
    if args.data and args.dtype != "int8":
        raise InputError("--data is for --dtype=int8, whose ranges are measured: leave it out")
    if args.format == "onnx":
        require("onnx", "--format=onnx")
        if args.dtype == "int8":
            require("int8", "--dtype=int8")
        if args.card:
            raise InputError("--card is for the folder of --format=jax: leave it out")
        from ugatit_jax.inference.onnx_export import export_onnx

        description = export_onnx(*arguments, data=args.data)
    else:
        if args.dtype not in DTYPES:
            raise InputError(f"--dtype {args.dtype} is for --format=onnx: choose bfloat16 here")
        from ugatit_jax.inference.exporting import export_run

        description = export_run(*arguments, card=args.card, licence=args.licence)
    kept = description.get("weights", args.dtype)
    print(f"{args.out}: step {description['step']}, {kept} weights")
    for name, file in description["files"].items():
        print(f"  {file['bytes']:>13,} bytes  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
