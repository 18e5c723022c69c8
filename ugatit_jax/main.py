"""Train: `python -m ugatit_jax.main --config=configs/horse2zebra.py`."""

import ctypes
import logging
import os
import sys
from collections.abc import Sequence

import jax

from ugatit_jax import distributed
from ugatit_jax.datasets import find_cache_dir
from ugatit_jax.errors import exit_on_input_error
from ugatit_jax.flags import parse_flags
from ugatit_jax.train import train

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let the process keep what XLA frees after every step on a CPU, and use it for the next one.

    glibc hands large blocks back to the system and asks for them again, page by page; without
    that a small step on two cores took 0.29 s instead of 0.48 s.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # not on macOS, which has another allocator
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_MMAP_MAX, 0)


def set_up_jax() -> None:
    """Compile every program once per machine: a resumed run starts in seconds."""
    # It says at INFO which accelerators this machine does not have.
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(find_cache_dir() / "xla"))
    if jax.default_backend() == "cpu":
        keep_freed_memory()


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 130 for a run that was stopped."""
    config, workdir, cluster = parse_flags(sys.argv[1:] if argv is None else argv)
    distributed.start(cluster)
    set_up_jax()
    try:
        return 0 if train(config, workdir) >= config.train.steps else 130
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
