"""Pictures worth training on: check those that are there, prepare those that are not.

    python -m ugatit_jax.data check DIR [--size PX] [--out DIR] [--fix DIR]
    python -m ugatit_jax.data prepare NAME DIR [--from FOLDER]
    python -m ugatit_jax.data prepare --faces=photo|anime FOLDER DIR [--size PX]

`check`: DIR has trainA/, trainB/, testA/ and testB/, or is any folder of pictures. It is looked
through for broken pictures, exact and near duplicates (within a split, across splits, across
domains), pictures without colours among coloured ones, tiny and enlarged ones, borders, marks at a
constant place, odd shapes, and domains that framing or the cast of colours alone tell apart; the
pictures farthest from their domain's centre are shown. index.html, report.json and contact sheets
go to --out. Nothing in DIR is changed: --fix writes a copy without the defects, by hard links where
that can be.

`prepare` makes one of the paper's data sets, selfie2anime, horse2zebra, photo2vangogh, cat2dog or
photo2portrait, in DIR: it is downloaded, or arranged out of a folder or an archive that --from
names, and its pictures are counted. A download goes on where it stopped. With --faces it cuts the
faces out of a folder of photographs, into DIR's trainA/ and testA/, or of drawings, into trainB/
and testB/; all are framed alike, and faces_A.csv or faces_B.csv says where each comes from, and
what was dropped and why. The same command goes on where it stopped.

Exit status: 0 where nothing is wrong, 1 where there are defects (or, with --strict, notes), 2 if
the command cannot go on, 75 for files that may be readable, or had, later.
"""

import argparse
import sys
from collections.abc import Sequence

from ugatit_jax.console.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.console.extras import require
from ugatit_jax.data.storage import folder_argument


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit data",
        description="Check the pictures that are there, or prepare those that are not.",
        examples=(
            "ugatit data check my_pictures",
            "ugatit data prepare horse2zebra data/horse2zebra",
            "ugatit data prepare --faces=photo snapshots my_pictures",
        ),
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", parser_class=Parser, help="what to do"
    )
    _add_check(commands.add_parser("check", help="look for what is wrong with pictures"))
    _add_prepare(commands.add_parser("prepare", help="make one of the paper's data sets"))
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    run = args.run
    return run(args)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_check)
    add = parser.add_argument
    add("folder", type=folder_argument, metavar="DIR", help="trainA/ … testB/, or any pictures")
    add("--size", type=int, default=256, metavar="PX", help="that is trained at; default: 256")
    add("--out", type=folder_argument, help="for the report; default: NAME-check, here")
    add("--fix", type=folder_argument, metavar="DIR", help="write a copy without the defects")
    add("--no-network", action="store_true", help="without features: seconds instead of minutes")
    add("--strict", action="store_true", help="exit with 1 for notes, too")


def _check(args: argparse.Namespace) -> int:
    if not 16 <= args.size <= 4096:
        raise InputError(f"--size {args.size}: give what is trained at, 16 to 4096 px")
    require("evaluate", "checking pictures")
    from ugatit_jax.curation.check import check  # not above, where --help would wait for NumPy

    findings = check(args.folder, args.size, args.out, args.fix, network=not args.no_network)
    return int(any(finding.is_defect or args.strict for finding in findings))


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_prepare)
    add = parser.add_argument
    add("source", metavar="NAME", help="selfie2anime, horse2zebra, …; or FOLDER, with --faces")
    add("folder", type=folder_argument, metavar="DIR", help="of the data set")
    add("--from", dest="given", type=folder_argument, metavar="PATH", help="where the pictures are")
    add("--unverified", action="store_true", help="take other numbers of pictures than the paper's")
    add("--cache-dir", default="", help="for the download; default: $XDG_CACHE_HOME/ugatit_jax")
    faces = parser.add_argument_group("of faces")
    add = faces.add_argument
    add("--faces", choices=("photo", "anime"), help="cut faces out of photographs, or of drawings")
    add("--size", type=int, default=256, metavar="PX", help="of the pictures; default: 256")
    add("--seed", type=int, default=0, help="of the split; default: 0")
    add("--test-share", type=float, default=0.03, help="to test with; default: 0.03")


def _prepare(args: argparse.Namespace) -> int:
    if args.faces:
        return _prepare_faces(args)
    from ugatit_jax.curation.prepare import prepare

    made = prepare(args.source, args.folder, args.given, args.cache_dir, args.unverified)
    print(f"{args.folder}: {', '.join(f'{count:,} {split}' for split, count in made.items())}")
    return 0


def _prepare_faces(args: argparse.Namespace) -> int:
    if not 16 <= args.size <= 4096:
        raise InputError(f"--size {args.size}: give what is trained at, 16 to 4096 px")
    if not 0 <= args.test_share <= 0.5:
        raise InputError(f"--test-share {args.test_share}: give 0 to 0.5")
    if args.given or args.unverified:
        raise InputError("--from and --unverified are not for faces: leave them out")
    from ugatit_jax.curation.face_domain import Recipe, make_face_domain

    recipe = Recipe(args.faces, args.size, args.seed, args.test_share)
    counts = make_face_domain(folder_argument(args.source), args.folder, recipe)
    print(f"{args.folder}: {', '.join(f'{count:,} {what}' for what, count in counts.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
