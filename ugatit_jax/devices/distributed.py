"""Several processes, of one machine or of many: how they start, agree, and end.

They come from flags, or from Slurm, Cloud TPU or Kubernetes, which JAX knows how to ask. Nothing
happens where there is only one process.
"""

import contextlib
import hashlib
import json
import os
import secrets
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from ugatit_jax.console.errors import InputError
from ugatit_jax.console.extras import is_installed
from ugatit_jax.data.storage import AnyPath, write_atomically
from ugatit_jax.devices.cluster import Cluster
from ugatit_jax.devices.sharding import over_data, replicated

WAIT = 3600  # s: longer than it takes to compile, or to decode all pictures
SHUTDOWN_TIMEOUT = 60  # s that a process waits for the others when it ends, with an error or not
METADATA = "http://{}/computeMetadata/v1/instance/attributes/worker-network-endpoints"


def start(cluster: Cluster) -> None:
    """Join the other processes, if there are any; to be called before any other use of JAX.

    Raises `InputError` if this process cannot take part. One that waits in vain for the others
    ends with one line and status 2: nothing can interrupt JAX there.
    """
    found = None if cluster.coordinator else detect(os.environ)
    if not (cluster.coordinator or found):
        return
    arguments: dict[str, Any] = {}
    where = f"as {found} says"
    if cluster.coordinator:
        where = f"at {cluster.coordinator}, {cluster.num_processes} processes in all"
        if cluster.process_id == 0:
            _check_port(cluster.coordinator)
        arguments = {
            "coordinator_address": cluster.coordinator,
            "num_processes": cluster.num_processes,
            "process_id": cluster.process_id,
            "cluster_detection_method": "deactivate",
        }
    # It would keep SIGTERM to itself; the training loop has a way to stop of its own.
    jax.config.update("jax_enable_preemption_service", False)
    in_vain = (
        f"the processes did not find together ({where}) within {cluster.start_timeout} s: start "
        "all of them, where they can reach that address; --start-timeout=SECONDS waits longer"
    )
    watch = threading.Timer(cluster.start_timeout, _leave, (f"error: {in_vain}", 2))
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(
            **arguments,
            # When this is over, JAX ends the process without saying what it waited for.
            initialization_timeout=cluster.start_timeout + 60,
            heartbeat_timeout_seconds=cluster.heartbeat_timeout,
            shutdown_timeout_seconds=SHUTDOWN_TIMEOUT,
        )
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"cannot join the other processes ({where}): {reason}; you can say --coordinator, "
            "--num-processes and --process-id"
        ) from error
    finally:
        watch.cancel()


def detect(environ: Mapping[str, str]) -> str | None:
    """Return who started several processes, of which this is one: a name, or None for nobody."""
    if "SLURM_STEP_NODELIST" in environ and int(environ.get("SLURM_NTASKS", 1)) > 1:
        return "Slurm"
    hosts = environ.get("TPU_PROCESS_ADDRESSES") or environ.get("TPU_WORKER_HOSTNAMES", "")
    if "," in hosts or int(environ.get("MEGASCALE_NUM_SLICES") or 1) > 1:
        return "Cloud TPU"
    # JAX asks the cluster with this package, which nothing else here needs: to install it is to
    # want this. An indexed job without it may be many runs, each on its own.
    pod = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environ.keys()
    if pod and is_installed("kubernetes"):
        return "Kubernetes"
    # Set by JAX's import where there is no TPU.
    if "TPU_SKIP_MDS_QUERY" not in environ and "," in _tpu_endpoints(environ):
        return "Cloud TPU"
    return None


def _tpu_endpoints(environ: Mapping[str, str]) -> str:
    """What a Cloud TPU VM is told of all machines of its pod; '' elsewhere."""
    url = METADATA.format(environ.get("GCE_METADATA_IP", "metadata.google.internal"))
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def _check_port(coordinator: str) -> None:
    """Raise `InputError` if the port is taken, in which case JAX would crash."""
    port, dual = int(coordinator.rpartition(":")[2]), socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=dual).close()
    except OSError as error:
        raise InputError(
            f"--coordinator={coordinator}: process 0 cannot listen on port {port} "
            f"({error.strerror}): choose another one"
        ) from None


def wait_for_all(name: str) -> None:
    """Return when every process is here; a lost one ends them all.

    Where processes fall out of step, in what each does alone, they must meet like this before they
    compute together: on CPUs, they wait only 30 s for each other there.
    """
    if jax.process_count() > 1:
        processes = set(range(jax.process_count()))
        ocp.multihost.sync_global_processes(name, processes=processes, timeout=WAIT)


@contextlib.contextmanager
def all_or_none() -> Iterator[dict[str, Any]]:
    """Raise `InputError` in every process if the block raises it in one, or if they disagree.

    Yields a dictionary for what must be the same in all processes, {its name: value}. The block
    must not compute together with other processes.
    """
    same: dict[str, Any] = {}
    failure = None
    try:
        yield same
    except InputError as error:
        failure = error
    wait_for_all("checked")
    if jax.process_count() > 1:
        failed = np.flatnonzero(multihost_utils.process_allgather(np.array(failure is not None)))
        if failure is None and failed.size:
            failure = InputError(
                f"process {failed[0]} of {jax.process_count()} cannot go on; it says why itself"
            )
    if failure is not None:
        raise failure
    if jax.process_count() > 1:
        for name, value in same.items():
            _check_same(name, value)


def _check_same(name: str, value: Any) -> None:
    digest = np.frombuffer(hashlib.sha256(repr(value).encode()).digest(), np.uint8)
    digests = multihost_utils.process_allgather(digest)
    if different := np.flatnonzero((digests != digests[0]).any(axis=1)).tolist():
        raise InputError(
            f"{name}: process {different[0]} has not the same as process 0; give all processes "
            "the same command, pictures and workdir"
        )


def gather(value: Any) -> list[Any]:
    """Return what every process gives, in their order: values that JSON can hold."""
    if jax.process_count() == 1:
        return [value]
    mine = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(mine.size))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: mine.size] = mine
    everyones = multihost_utils.process_allgather(padded)
    return [json.loads(bytes(x[:size])) for x, size in zip(everyones, sizes.tolist(), strict=True)]


def check_one_folder(folder: AnyPath) -> None:
    """Raise `InputError` in every process if they do not see one and the same folder."""
    if jax.process_count() == 1:
        return
    file, me = folder / ".seen_by_all", jax.process_index()
    if me == 0:
        write_atomically(file, secrets.token_hex())
    wait_for_all("wrote")
    seen = file.read_text() if file.exists() else f"nothing in process {me}"
    try:
        _check_same(f"what lies in {folder}", seen)
    finally:
        wait_for_all("read")
        if me == 0:
            file.unlink(missing_ok=True)


class AnyProcess:
    """Asks after every step whether any process wants something, without waiting for the step."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._any = jax.jit(jnp.any, out_shardings=replicated(mesh))
        self._asked: jax.Array | None = None

    def wants(self, wish: bool) -> bool:
        """Say what this process wants, and hear what any wanted: the same answer in all of them.

        One process is answered at once; several, with what was said one call before.
        """
        if jax.process_count() == 1:
            return wish
        before = self._asked
        self._asked = self._any(
            jax.make_array_from_callback(
                (self._mesh.size,), over_data(self._mesh), lambda _: np.array([wish])
            )
        )
        return before is not None and bool(before)


@contextlib.contextmanager
def ending_with_the_others() -> Iterator[None]:
    """End this process, with status 1, when what it computes with others fails in the block.

    Whatever would still be done, such as to finish a checkpoint, would wait for the lost ones.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        me, count, reason = jax.process_index(), jax.process_count(), str(error).partition("\n")[0]
        _leave(
            f"error: process {me} of {count} cannot go on, most likely because another one has "
            "ended: start all of them again, to go on from the newest checkpoint; what JAX says: "
            f"{reason}",
            1,
        )


def _leave(text: str, status: int) -> None:
    """End the process from any thread, without a farewell to the others."""
    print(text, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)
