"""How several processes are told of each other, and what is wrong with what they are told."""

import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import MAIN, ROOT, error_of, free_port

from ugatit_jax.config.flags import parse_flags
from ugatit_jax.console.errors import InputError
from ugatit_jax.devices import distributed
from ugatit_jax.devices.cluster import Cluster
from ugatit_jax.devices.distributed import detect


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--coordinator=a:1"], "--coordinator without --num-processes, --process-id: say all"),
        (["--process_id=0", "--num_processes=2"], "--num-processes without --coordinator"),
        (["--coordinator=a", "--num_processes=2", "--process_id=0"], "'a'; it must be HOST:PORT"),
        (["--coordinator=:1", "--num_processes=2", "--process_id=0"], "it must be HOST:PORT"),
        (["--coordinator=a:b", "--num_processes=2", "--process_id=0"], "it must be HOST:PORT"),
        (["--coordinator=a:1", "--num_processes=2", "--process_id=2"], "one of 0 to 1"),
        (["--coordinator=a:1", "--num_processes=0", "--process_id=0"], "must be at least 1"),
        (["--coordinator=a:1", "--num_processes=two", "--process_id=0"], "invalid int value"),
        (["--heartbeat_timeout=0"], "--heartbeat-timeout is 0; it must be at least 1"),
    ],
)
def test_flags_that_make_no_cluster(tiny_flags: list[str], flags: list[str], words: str) -> None:
    with pytest.raises(InputError) as error:
        parse_flags([*tiny_flags, *flags])
    assert words in str(error.value) and "\n" not in str(error.value)


def test_flags_make_a_cluster(tiny_flags: list[str]) -> None:
    flags = ["--coordinator=host:12", "--num_processes=3", "--process_id=2", "--start_timeout=7"]
    assert parse_flags([*tiny_flags, *flags]).cluster == Cluster("host:12", 3, 2, start_timeout=7)
    assert parse_flags(tiny_flags).cluster == Cluster()


def test_a_port_that_is_taken(tiny_flags: list[str]) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"cannot listen on port {port} \(Address already"):
            distributed.start(Cluster(f"localhost:{port}", 2, 0))


@pytest.mark.parametrize("process", [0, 1])
def test_nobody_else_comes(tiny_flags: list[str], process: int) -> None:
    address = f"localhost:{free_port()}"
    cluster = [f"--coordinator={address}", "--num_processes=2", f"--process_id={process}"]
    result = subprocess.run(
        [sys.executable, *MAIN, *tiny_flags, *cluster, "--start_timeout=2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    line = error_of((result.returncode, result.stdout, result.stderr))
    assert line.startswith(
        f"error: the processes did not find together (at {address}, 2 processes in all) within 2 s"
    )


SLURM = {"SLURM_STEP_NODELIST": "node[1-2]", "SLURM_NTASKS": "2"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}
NO_TPU = {"TPU_SKIP_MDS_QUERY": "1"}


@pytest.mark.parametrize(
    ("environ", "who"),
    [
        ({}, None),
        (SLURM, "Slurm"),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({"SLURM_NTASKS": "2"}, None),  # in the batch script itself, outside srun
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "Cloud TPU"),
        ({"TPU_WORKER_HOSTNAMES": "a"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "2"}, "Cloud TPU"),
        (POD, None),  # the package is not there
    ],
)
def test_who_started_several_processes(environ: dict[str, str], who: str | None) -> None:
    assert detect(NO_TPU | environ) == who


def test_an_indexed_job_counts_where_jax_can_ask_kubernetes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kubernetes.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert detect(NO_TPU | POD) == "Kubernetes"
    assert detect(NO_TPU | POD | {"JOB_COMPLETION_INDEX": "1"}) == "Kubernetes"
    assert detect(NO_TPU | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None


@pytest.fixture
def metadata() -> Iterator[tuple[str, dict[str, str]]]:
    """Address of a server like that of a Cloud TPU VM, and what it answers: {path: text}."""
    answers: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Metadata-Flavor"] == "Google" and self.path in answers
            self.send_response(200 if asked else 404)
            self.end_headers()
            self.wfile.write(answers.get(self.path, "").encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"localhost:{server.server_port}", answers
        server.shutdown()
        thread.join()


def test_a_tpu_pod_is_known_by_the_metadata_of_its_machines(
    metadata: tuple[str, dict[str, str]],
) -> None:
    address, answers = metadata
    environ = {"GCE_METADATA_IP": address}
    assert detect(environ) is None  # 404
    path = "/computeMetadata/v1/instance/attributes/worker-network-endpoints"
    answers[path] = "unknown:unknown:10.0.0.1"
    assert detect(environ) is None
    answers[path] += ",unknown:unknown:10.0.0.2"
    assert detect(environ) == "Cloud TPU"
    assert detect(environ | NO_TPU) is None
    assert detect({"GCE_METADATA_IP": f"localhost:{free_port()}"}) is None
