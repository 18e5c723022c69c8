"""All commands by one name: `ugatit train`, `ugatit translate`; or `python -m ugatit_jax train`."""

import difflib
import importlib
import sys
from collections.abc import Sequence

import ugatit_jax
from ugatit_jax.console.errors import InputError, exit_on_input_error

# By name: the module, and what it does.
COMMANDS = {
    "train": ("main", "train on two folders of pictures, or go on with a training"),
    "translate": ("translate", "translate pictures with a run, an export, or emoji"),
    "evaluate": ("evaluate", "score a run, or folders of pictures"),
    "compare": ("compare", "lay runs side by side"),
    "prefer": ("prefer", "ask people which translations they prefer"),
    "page": ("page", "translate in a browser, and watch a training"),
    "data": ("data.__main__", "check pictures, or prepare them for a training"),
    "export": ("export", "write what translates as a folder of its own"),
    "plan": ("plan", "say what a training takes on chips that need not be here"),
    "emoji": ("emoji", "render the demo's pictures"),
    "import-weights": ("interop.import_weights", "make a run of the authors' weights"),
    "export-weights": ("interop.export_weights", "write a run's weights as a PyTorch file"),
}

EXAMPLES = (
    "ugatit translate emoji drawing.png --out=drawings",
    "ugatit train --config=folder --config.data.source=my_pictures --workdir=runs/mine",
)


def usage() -> str:
    """Return what there is."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    more = "ugatit COMMAND --help says more; python -m ugatit_jax COMMAND is the same."
    examples = ["examples:", *(f"  {line}" for line in EXAMPLES)]
    return "\n".join(["usage: ugatit COMMAND [arguments]", "", *lines, "", more, "", *examples])


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(ugatit_jax.__version__)
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        instead = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
        raise InputError(f"no command {name!r}; {instead}")
    module = importlib.import_module(f"ugatit_jax.{COMMANDS[name][0]}")
    return int(module.main(rest) or 0)


if __name__ == "__main__":
    sys.exit(main())
