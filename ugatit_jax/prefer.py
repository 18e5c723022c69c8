"""Ask people which translation of a picture is the best, as the paper's user study does.

    python -m ugatit_jax.prefer RUN_OR_FOLDER… --inputs DIR --out DIR
    python -m ugatit_jax.prefer --report DIR…

The first serves a page on this machine. It shows an input and the translations of all methods, in
random order and without names, and keeps what each person chooses in DIR/choices.jsonl; the same
command goes on where it stopped. A run or an export translates the inputs first, into
DIR/translations; a folder holds translations, by the names of the inputs. The second prints the
shares of the methods, with intervals and a paired test; of several studies, one table of all.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ugatit_jax.console.errors import InputError, Parser, exit_on_input_error
from ugatit_jax.console.numbers import whole_number
from ugatit_jax.data.storage import folder_argument, resolve
from ugatit_jax.methods.directions import DIRECTIONS
from ugatit_jax.runs.trained import model_argument


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ugatit prefer",
        usage="%(prog)s RUN_OR_FOLDER… --inputs DIR --out DIR [options]\n"
        "       %(prog)s --report DIR…",
        description="Ask people which translation of a picture is the best, on a page that this "
        "machine serves, and report what they chose.",
        examples=(
            "ugatit prefer runs/mine others --inputs=photos --out=study --target=anime",
            "ugatit prefer --report study",
        ),
    )
    add = parser.add_argument
    add(
        "paths",
        type=model_argument,
        nargs="*",
        metavar="RUN_OR_FOLDER",
        help="two to nine methods: runs, exports or emoji, or folders of translations",
    )
    add(
        "--inputs",
        type=folder_argument,
        metavar="DIR",
        help="folder of the pictures that are translated",
    )
    add("--out", type=folder_argument, metavar="DIR", help="for choices and new translations")
    add("--direction", choices=DIRECTIONS, default="a2b", help="that runs take; default: a2b")
    add(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="ask about the first N inputs; default: all",
    )
    add("--dataset", metavar="NAME", help="in the report; default: the name of --inputs")
    add("--target", default="", metavar="WORDS", help="what the page says they were translated to")
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="that the page is served at; 0.0.0.0 for all machines that reach this one; default: "
        "this machine alone",
    )
    add(
        "--port",
        type=whole_number(0, 2**16 - 1),
        default=8008,
        metavar="PORT",
        help="of that address; 0 for any that is free; default: 8008",
    )
    add(
        "--report",
        type=folder_argument,
        nargs="+",
        metavar="DIR",
        help="print what people chose in these folders, each the --out of a study, and end",
    )
    return parser


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = make_parser().parse_args(argv)
    if args.report:
        if args.paths or args.inputs or args.out:
            raise InputError("--report takes folders that were --out of studies, and nothing else")
        return _report(args.report)
    if not args.paths:
        raise InputError("no methods: give two or more runs, exports or folders of translations")
    if not args.inputs or not args.out:
        raise InputError("say --inputs, the pictures that are translated, and --out, for choices")
    return _ask(args)


def _report(folders: Sequence[Path]) -> int:
    # Not above, where --help and a mistake would wait for NumPy.
    from ugatit_jax.preference.report import report

    text, skipped = report(folders)
    for line in skipped:
        print(line, file=sys.stderr)
    print(text)
    return 0


def _ask(args: argparse.Namespace) -> int:
    from ugatit_jax.data.storage import make_folder
    from ugatit_jax.preference.choices import Choices
    from ugatit_jax.preference.contestants import find_contestants
    from ugatit_jax.preference.server import Server
    from ugatit_jax.preference.study import Study, open_study

    with Server(args.host, args.port) as server:  # before minutes of translating
        contestants = find_contestants(
            args.paths, args.inputs, args.out, args.direction, args.limit
        )
        try:
            make_folder(args.out)
        except OSError as error:
            raise InputError(f"cannot write into --out {args.out}: {error.strerror}") from None
        name = args.dataset or resolve(args.inputs).name
        study = Study(name, args.target, contestants.inputs.names, *contestants.checksums())
        open_study(args.out, study)
        choices = Choices(args.out)
        for line in choices.skipped:
            print(line, file=sys.stderr)
        if not server.is_local:
            print("other machines can open this page, without a password", file=sys.stderr)
        print(f"{server.url} asks about {len(study.pictures)} pictures; Ctrl-C ends it", flush=True)
        server.ask(study, contestants, choices)
        # A shell lets what it starts in the background ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
        people = {choice.person for choice in choices.all()}
        print(f"{choices.file}: {len(choices.all())} choices of {len(people)} people")
    return 0


if __name__ == "__main__":
    sys.exit(main())
