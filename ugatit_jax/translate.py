"""Translate picture files with a trained model.

    python -m ugatit_jax.translate MODEL INPUT... --out DIR

MODEL is what training wrote, or `ugatit_jax.export`; or emoji, which comes with the program.
INPUT is a picture, a folder, searched in depth, or a glob in quotes, as "photos/**/*.jpg". Of
FOLDER/x/y.jpg come DIR/x/y.png and, if asked for, DIR/cycle/x/y.png, DIR/attention/x/y.png for
people to look at, and DIR/attention/x/y.npz with the heat maps as numbers: 'generator', [h', w']
over the picture, and 'local' and 'global' of the discriminators over the translation, which an
export is without. A file .nomedia in these two folders keeps them out of what is scored, translated
or trained on where DIR is. What is transparent stays so; the networks see it over white.

With --align=face the faces in a picture are found, cut out as those that the network was trained on
are framed, translated, and pasted back with soft edges: results have the picture's own size. The
framing is measured from the run's pictures, or from a folder of such, --align-like. A picture
without a face is named, and translated as --fit says.

A method that has styles, such as MUNIT, gives every picture a random one of its own, which follows
from its name and --seed. With --styles N there are N translations of FOLDER/x/y.jpg,
DIR/x/y_style1.png and so on, in styles that are the same for all pictures, and DIR/styles/grid.png
shows the first pictures in all of them. With --style PICTURE, all have the style of that picture,
of the domain that they become part of.

What is there already is skipped, so that the same command goes on where it stopped. DIR's
translated.jsonl says how each picture was made: the run, step and weights, direction, fit,
format and style, and how many bytes its source had. Where that differs, nothing is written without
--overwrite. Linked folders are searched, too. Exit status: 0, or 1 if some picture could not be
translated, or 75 if all of these may be read later, or 2 if the command cannot go on.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ugatit_jax.console.errors import InputError, Parser, TransientError, exit_on_input_error
from ugatit_jax.console.numbers import whole_number
from ugatit_jax.data.encodings import ENCODINGS
from ugatit_jax.data.storage import folder_argument, path_argument, resolve
from ugatit_jax.inference.options import FITS, MOST_STYLES, Options
from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.runs.exports import is_exported
from ugatit_jax.runs.steps import parse_step
from ugatit_jax.runs.trained import model_argument

if TYPE_CHECKING:
    from ugatit_jax.inference.align import Aligner


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit translate",
        description="Translate pictures with a trained model.",
        examples=(
            "ugatit translate emoji drawing.png --out=drawings",
            "ugatit translate runs/mine photos --out=translated --fit=pad --gallery",
        ),
    )
    add = parser.add_argument
    add(
        "run_dir",
        type=model_argument,
        metavar="MODEL",
        help="what training or an export wrote, or emoji, the model that comes with the program",
    )
    add(
        "inputs",
        type=folder_argument,
        nargs="+",
        metavar="INPUT",
        help="a picture, a folder, which is searched in depth, or 'glob/**/*.jpg'",
    )
    add("--out", type=folder_argument, required=True, metavar="DIR", help="folder of the results")
    add(
        "--direction",
        choices=DIRECTIONS,
        default="a2b",
        help="from pictures like trainA to those like trainB, or back; default: a2b",
    )
    add(
        "--step",
        type=parse_step,
        metavar="STEP",
        help="of the checkpoint: a number, or best, that of the lowest KID; default: the newest",
    )
    add(
        "--fit",
        choices=FITS,
        default="crop",
        help="for pictures of another size than the network's: crop to it, as in training "
        "(default); or give results of the picture's own size: stretch or pad it, translate it in "
        "overlapping tiles, or natively in one piece, which light generators can",
    )
    add(
        "--align",
        choices=("face",),
        help="translate the faces in pictures alone, framed as in training, and paste them back",
    )
    add(
        "--align-like",
        type=path_argument,
        metavar="DIR",
        help="pictures framed as in training, for --align with an export",
    )
    add(
        "--format",
        choices=ENCODINGS,
        default="png",
        help="of the results; jpg and webp of quality 95",
    )
    add(
        "--attention",
        action="store_true",
        help="also show where the networks look: pictures and arrays in DIR/attention",
    )
    add("--cycle", action="store_true", help="also translate the translation back: DIR/cycle")
    add(
        "--shifts",
        type=int,
        choices=(1, 2, 4),  # models.SHIFTS, without JAX
        help="average over so many places of the picture along each side, against a grid of 4 px; "
        "takes N² times as long; U-GAT-IT alone; default: config.model.shifts",
    )
    add(
        "--styles",
        type=whole_number(1, MOST_STYLES),
        metavar="N",
        help=f"translate every picture in N random styles, {MOST_STYLES} at most",
    )
    add("--seed", type=whole_number(0), metavar="S", help="draws the random styles; default: 0")
    add("--style", type=Path, metavar="PICTURE", help="translate in the style of this picture")
    add("--gallery", action="store_true", help="also write a page with all of it: DIR/index.html")
    add("--overwrite", action="store_true", help="translate again what is there, however made")
    return parser


def _check_options(args: argparse.Namespace) -> None:
    if args.align_like is not None and args.align is None:
        raise InputError("--align-like says what faces are aligned like: say --align=face, too")
    if args.style is not None and (args.styles, args.seed) != (None, None):
        raise InputError(
            "--style takes a picture's style, --styles and --seed draw others: say one"
        )


def _open_aligner(args: argparse.Namespace, image_size: tuple[int, int]) -> "Aligner":
    """Measure how the pictures that were trained on are framed."""
    from ugatit_jax.config.records import load_config
    from ugatit_jax.data.datasets import Domain, open_dataset
    from ugatit_jax.data.images import list_images
    from ugatit_jax.inference.align import Aligner

    if args.align_like is not None:
        files = list_images(args.align_like)
        if not files:
            raise InputError(
                f"no pictures in --align-like {args.align_like}: give some to align by"
            )
        return Aligner.like(Domain([file.name for file in files], files), image_size)
    data = load_config(args.run_dir / "config.json").data
    if is_exported(args.run_dir) or not data.source:
        raise InputError(
            "an export does not say what it was trained on: give pictures framed like these by "
            "--align-like=DIR"
        )
    return Aligner.like(getattr(open_dataset(data), f"train_{args.direction[0]}"), image_size)


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    _check_options(args)
    # Not above, where --help and a mistake would wait for NumPy, and below for JAX, for seconds.
    from ugatit_jax.data.images import decode
    from ugatit_jax.inference.jobs import make_folders, plan, still_to_do
    from ugatit_jax.inference.record import Made, Record, checksum
    from ugatit_jax.runs.advice import check_run

    options = Options(
        args.direction,
        args.fit,
        args.format,
        args.attention,
        args.cycle,
        args.styles or 0,
        args.seed or 0,
    )
    jobs = plan(args.inputs, args.out, options)
    picture = None if args.style is None else decode(args.style)
    check_run(args.run_dir, or_export=True)
    from ugatit_jax.devices.runtime import set_up_jax
    from ugatit_jax.inference.attention_maps import DiscriminatorAttention
    from ugatit_jax.inference.files import FileTranslator, write_page, write_styles
    from ugatit_jax.inference.translator import Translator

    set_up_jax()
    translator, judge = Translator.load(args.run_dir, args.step, shifts=args.shifts), None
    translator.check(options.direction, options.fit, options.cycle)
    if {args.styles, args.seed, args.style} != {None}:
        translator.check_styles(encoded=args.style is not None)
    make_folders(args.out, options)
    styled, style = f"seed {options.seed}" if translator.method.style_size else "", None
    if picture is not None:
        style = translator.encode_style(picture, options.direction)
        styled = f"of {args.style.name} ({hashlib.sha256(picture.tobytes()).hexdigest()[:16]})"
    aligner = _open_aligner(args, translator.image_size) if args.align else None
    weights = checksum(translator.weights[options.direction])
    run = resolve(args.run_dir).name
    made = Made(
        run,
        translator.step,
        weights,
        options.direction,
        f"{options.fit}, {aligner.describe()}" if aligner else options.fit,
        options.format,
        style=styled,
        shifts=translator.method.shifts,
    )
    record = Record(args.out)
    todo = still_to_do(jobs, made, record, args.overwrite)
    failed: list[InputError] = []
    cropped = 0
    if todo:
        if options.attention and translator.method.judges and not is_exported(args.run_dir):
            target = args.direction[-1]
            judge = DiscriminatorAttention.load(args.run_dir, target, translator.step)
        translate = FileTranslator(translator, options, made, record, judge, style, aligner)
        failed, cropped = translate(todo), len(translate.cropped)
    done, there = len(todo) - len(failed), len(jobs) - len(todo)
    print(
        f"{args.out}: {done} picture{'s' * (done != 1)} translated, {there} "
        f"{'was' if there == 1 else 'were'} there already, {len(failed)} could not be translated"
    )
    if cropped:
        height, width = translator.image_size
        print(
            f"of {cropped} the middle was taken, {width} × {height} px in the end, as in training: "
            "--fit=pad --overwrite keeps all of a picture, and its size"
        )
    if options.styles:
        write_styles(args.out / "styles" / "grid.png", jobs, options, translator.step)
    if args.gallery:
        write_page(args.out / "index.html", run, jobs, options)
        print(f"gallery: {args.out / 'index.html'}")
    if not failed:
        return 0
    later = all(isinstance(error, TransientError) for error in failed)
    return TransientError.exit_status if later else 1


if __name__ == "__main__":
    sys.exit(main())
