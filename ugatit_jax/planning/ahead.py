"""Programs for TPUs, optimised ahead of time but not turned into machine code.

Where each array lies and what is exchanged is decided by then. The code, which takes most of the
minutes that a step takes to compile, would only say how large it is. The compiler cannot be asked
to stop there: a process of its own writes what it has optimised, goes on, and is ended.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from ugatit_jax.config.records import save_config
from ugatit_jax.planning.topology import Target

COMPILER = "ugatit_jax.planning.traced_step"
PROGRAM, REPORT = "*.after_optimizations_after_buffer_assignment.txt", "*memory-usage-report.txt"
IN_HBM = re.compile(r"\(color=0\)\s*Total bytes: (\d+)")  # of arguments, results and temporaries


class Optimized(NamedTuple):
    """An optimised program: its text, and the bytes that its arrays take in a chip's HBM."""

    text: str
    bytes: int


def optimize(config: ConfigDict, target: Target) -> Optimized:
    """Return the optimised training step of a (checked) config on TPUs.

    Raises `JaxRuntimeError` with the compiler's message where there is no room for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, dump, log = Path(folder, "config.json"), Path(folder, "dump"), Path(folder, "log")
        save_config(config, file)
        flags = f"--xla_dump_to={dump} --xla_dump_hlo_as_text"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", COMPILER, file, target.topology, str(target.slices)],
                env=os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}"},
                stdout=errors,
                stderr=errors,
            )
        try:
            while (found := read_dump(dump)) is None and process.poll() is None:
                time.sleep(0.5)
        finally:
            process.kill()
            process.wait()
        if found is None and (found := read_dump(dump)) is None:
            raise jax.errors.JaxRuntimeError(log.read_text())
        return found


def read_dump(folder: Path) -> Optimized | None:
    """Return what the compiler wrote; None before it has written all of it."""
    programs, reports = list(folder.glob(PROGRAM)), list(folder.glob(REPORT))
    if not programs or not reports:
        return None
    text, match = programs[0].read_text(), IN_HBM.search(reports[0].read_text())
    return Optimized(text, int(match[1])) if match and text.endswith("}\n\n") else None
