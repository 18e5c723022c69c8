"""What a command line sets up before JAX compiles anything, and what XLA's compiler is told."""

import ctypes
import functools
import logging
import os
from pathlib import Path

import jax

from ugatit_jax.console.cache import find_cache_dir

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
# Of XLA for CPUs, where a network runs forward alone.
FORWARD_ON_CPU: dict[str, str | bool] = {
    # Sums by YNNPACK, as ever, but products of matrices and convolutions by Eigen.
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    # An order for little memory. By the other one, for many threads, all Winograd's kernels are
    # transformed at the start, and wait in 120 MB of memory until they are used.
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
}
# libtpu asks where it runs, and warns where it finds no TPU. The type is any that it knows. Without
# the last one it refuses to compile while another program has it open.
LIBTPU_WITHOUT_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v4-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
GOOGLE = "0x1ae0"  # on the PCI bus


def keep_freed_memory() -> None:
    """Let the process keep what XLA frees after every step, and use it for the next, on a CPU.

    glibc hands large blocks back to the system and asks for them again, page by page; without
    that a small step on two cores took 0.29 s instead of 0.48 s. Call it before JAX starts its
    threads: a thread's own heap has no room for blocks above 64 MB, which were handed back all
    the same, and translating at 256 px took 0.75 s instead of 0.64 s.
    """
    libc = ctypes.CDLL(None)
    # macOS has another allocator.
    if hasattr(libc, "mallopt") and computes_on_cpu():
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # never
        libc.mallopt(M_MMAP_MAX, 0)


@functools.cache
def may_have_tpu() -> bool:
    """Tell whether a TPU may be in this machine, by what Google made of it."""
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    found = any(vendor.read_text().strip() == GOOGLE for vendor in vendors)
    return found or any(Path("/dev").glob("accel*"))


def computes_on_cpu() -> bool:
    """Tell whether JAX computes on a CPU, without starting it where there is nothing else."""
    gpus = any(Path("/dev").glob("nvidia[0-9]*"))
    gpus |= any(Path("/dev", name).exists() for name in ("kfd", "dxg"))  # of AMD, of Windows
    if jax.config.values["jax_platforms"] == "cpu" or not (gpus or may_have_tpu()):
        return True
    return jax.default_backend() == "cpu"  # the JAX that is installed may know of no accelerator


def forward_options(device: jax.Device) -> dict[str, str | bool]:
    """Return what XLA's compiler is told of a network that runs forward alone, on such a device.

    On a CPU, YNNPACK's products of 256×256 matrices have 60 % of the rate of Eigen's. Without them
    translating takes a fifth less at 256 px, a quarter at 128; features come 1.3 times as fast. The
    order for little memory takes 61 MB at 256 px instead of 177, and 3 to 6 % less time. A training
    step takes 15 to 35 % longer without YNNPACK's many narrow products, and on two threads 25 %
    longer in that order, where it has other things to do at the same time.
    """
    return FORWARD_ON_CPU if device.platform == "cpu" and _knows_forward_options() else {}


@functools.cache
def _knows_forward_options() -> bool:
    """Tell whether this XLA knows FORWARD_ON_CPU, which others may not."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        program = jax.jit(lambda: 0).lower()
        try:
            program.compile(compiler_options=FORWARD_ON_CPU)
        except jax.errors.JaxRuntimeError:
            return False
    return True


def use_libtpu_without_tpu() -> None:
    """Have libtpu look for no TPU, before it is loaded; what the user says of it stays."""
    for name, value in LIBTPU_WITHOUT_TPU.items():
        os.environ.setdefault(name, value)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Have a log say why something failed, and not by which calls."""
    if record.exc_info and record.exc_info[1]:
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]}", ()
        record.exc_info = None
    return True


def compiled_dir() -> Path:
    """Return the folder of compiled programs: one for each number of cores to compute on.

    JAX looks for a program by what it computes, but on a CPU XLA divides it among the cores there
    are. One that was compiled for a single core, and found by a process with two, takes 260 ms to
    translate a picture of 256 px instead of 204.
    """
    of_process = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(of_process(0)) if of_process else os.cpu_count()
    return find_cache_dir() / "xla" / f"{cores}_cores"


def set_up_jax() -> None:
    """Compile every program once per machine: the next start takes seconds."""
    # It says at INFO which accelerators this machine does not have, and why a plugin for one does
    # not start, as for GPUs where there is none, in thirty lines.
    about_devices = logging.getLogger("jax._src.xla_bridge")
    about_devices.setLevel(logging.WARNING)
    about_devices.addFilter(_in_one_line)
    if not may_have_tpu():  # who plans for TPUs on a laptop has no use for libtpu's warnings
        use_libtpu_without_tpu()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(compiled_dir()))
    keep_freed_memory()
