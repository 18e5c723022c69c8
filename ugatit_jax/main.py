"""Train: `python -m ugatit_jax.main --config=configs/selfie2anime.py --config.data.source=FOLDER`."""

import logging
import os
import sys
from pathlib import Path

import jax
from absl import app, flags
from ml_collections import config_flags

from ugatit_jax import train
from ugatit_jax.errors import InputError, exit_on_input_error

config_flags.DEFINE_config_file("config", None, "The experiment, a file in configs/.")
flags.DEFINE_string("workdir", None, "The run's directory. Default: runs/NAME of the config file.")

# Everything that absl and ml_collections raise on a bad command line; the kinds are many.
BAD_FLAGS = (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError)


@exit_on_input_error
def parse_flags(argv: list[str]) -> list[str]:
    """Parse the command line; a mistake in it ends the program with one line and status 2."""
    try:
        rest = flags.FLAGS(argv)
    except BAD_FLAGS as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{reason} (--config=FILE comes before --config.FIELD=VALUE)") from None
    if rest[1:]:
        raise InputError(f"unexpected argument {rest[1]!r}; flags are --name=value")
    if flags.FLAGS.config is None:
        raise InputError("no experiment; say --config=configs/selfie2anime.py, or another of them")
    return rest


def set_up_jax() -> None:
    """Compile every program once per machine: a resumed run starts in seconds."""
    # It says at INFO which accelerators this machine does not have.
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ugatit_jax" / "xla"
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(cache))


@exit_on_input_error
def main(argv: list[str]) -> None:
    """Hand the config over to the training loop. Exit status 130: stopped, and saved."""
    del argv
    config = flags.FLAGS.config
    name = Path(flags.FLAGS["config"].config_filename).stem
    set_up_jax()
    reached = train.train(config, Path(flags.FLAGS.workdir or f"runs/{name}"))
    if reached < config.train.steps:
        sys.exit(130)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
