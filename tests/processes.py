"""Two processes of four devices each, and how they ended."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAIN = ["-m", "ugatit_jax.main"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


Result = tuple[int, str, str]  # status, stdout, stderr


def run(
    command: list[str],
    each: tuple[list[str], list[str]] = ([], []),
    env: tuple[dict[str, str], dict[str, str]] | None = None,
    timeout: float = 280,
) -> tuple[Result, Result]:
    """Run two processes of four devices to their ends, told of each other by flags or by `env`."""
    together = ["--num_processes=2", f"--coordinator=localhost:{free_port()}"]
    pair = [
        subprocess.Popen(
            [
                sys.executable,
                *command,
                *([] if env else [*together, f"--process_id={i}"]),
                *each[i],
            ],
            cwd=ROOT,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "4"} | (env[i] if env else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    try:
        outputs: list[tuple[str, str]] = [("", "")] * 2

        def listen(i: int) -> None:
            outputs[i] = pair[i].communicate(timeout=timeout)

        threads = [threading.Thread(target=listen, args=[i]) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first, second = ((pair[i].returncode, *outputs[i]) for i in range(2))
        return first, second
    finally:
        for process in pair:
            process.kill()


def said(output: str) -> list[str]:
    """The lines of a process' output without those of Gloo, which may come in pieces."""
    return [
        line for line in output.splitlines() if "[Gloo]" not in line and "peer ranks" not in line
    ]


def error_of(result: Result) -> str:
    """The one line that an `InputError` ends a process with."""
    status, _, stderr = result
    assert status == 2, stderr
    (line,) = said(stderr)
    return line
