"""The devices to plan for: those of a TPU slice that is not here, or those that are here.

TPU programs are compiled ahead of time by libtpu, which needs no TPU for it.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental import topologies

from ugatit_jax.console.errors import InputError, in_a_line
from ugatit_jax.console.extras import is_installed
from ugatit_jax.devices.runtime import use_libtpu_without_tpu
from ugatit_jax.planning.chips import KINDS, TPUS, Chip, find_gpu

MOST_CHIPS = 2**16  # each is an object of the compiler's


@dataclass(frozen=True)
class Target:
    """What a program is compiled for. `chip` is None where nothing is known about speed."""

    topology: str
    slices: int
    devices: list[Any]
    chip: Chip | None

    @property
    def is_tpu(self) -> bool:
        """Whether it is compiled for TPUs, ahead of time."""
        return ":" in self.topology

    def __str__(self) -> str:
        """Say what it is, as in '8 × TPU v5e (v5e:2x4)'."""
        name = self.chip.name if self.chip else self.devices[0].device_kind
        several = f" × {self.slices} slices" if self.slices > 1 else ""
        return f"{len(self.devices)} × {name} ({self.topology}{several})"


def find_target(topology: str, slices: int = 1) -> Target:
    """Return the devices of 'v5e:2x4' (or v4, v5p: 'v5p:2x2x1'), of 'gpu', or of 'cpu'.

    To be called before JAX starts for anything else: for TPUs and 'cpu', JAX's own device becomes
    the CPU. Raises `InputError` for a topology that there is not, or that cannot be compiled for.
    """
    kind, _, shape = topology.partition(":")
    if slices < 1:
        raise InputError(f"--slices is {slices}; it must be 1 or more")
    if kind in TPUS and shape:
        return _find_tpu(topology, slices)
    if topology not in ("cpu", "gpu"):
        example = f": say how many chips, as in {kind}:2x4" if topology in TPUS else ""
        raise InputError(f"--topology={in_a_line(topology, 40)} is none of {KINDS}{example}")
    if slices > 1:
        raise InputError(f"--slices={slices} is for TPUs; leave it out with --topology={topology}")
    if topology == "cpu":
        jax.config.update("jax_platforms", "cpu")
    try:
        devices = jax.devices(topology)
    except RuntimeError:
        raise InputError(f"--topology={topology}: JAX finds none on this computer") from None
    return Target(topology, slices, devices, find_gpu(devices[0].device_kind))


def _find_tpu(topology: str, slices: int) -> Target:
    kind, _, shape = topology.partition(":")
    chip = TPUS[kind]
    if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5}){1,2}", shape, re.ASCII):
        said = in_a_line(repr(shape), 40)
        raise InputError(
            f"--topology={in_a_line(topology, 40)}: {said} is no shape such as 2x4 or 2x2x1"
        )
    chips = math.prod(map(int, shape.split("x")))
    if chips > chip.largest_slice:
        raise InputError(
            f"--topology={topology}: a slice of {kind} has at most {chip.largest_slice} chips; "
            "take a smaller one and say --slices=N"
        )
    if chips * slices > MOST_CHIPS:
        raise InputError(
            f"--topology={topology} --slices={slices}: these are {chips * slices:,} chips, and a "
            f"plan takes {MOST_CHIPS:,} at most"
        )
    if not is_installed("libtpu"):
        raise InputError(
            f"--topology={topology} is compiled with libtpu: pip install libtpu (Linux x86-64)"
        )
    use_libtpu_without_tpu()
    jax.config.update("jax_platforms", "cpu")
    options: dict[str, Any] = {"num_slices": slices} if slices > 1 else {}
    if kind == "v4":  # else each of a chip's cores is a device, which Cloud's v4 never shows
        options["chip_config_name"] = "megacore"
    try:
        devices = topologies.get_topology_desc(topology, "tpu", **options).devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--topology={topology}: libtpu says {reason}") from None
    if len(devices) != chips * slices:
        raise InputError(
            f"--topology={topology}: libtpu describes {len(devices)} devices for "
            f"{chips * slices} chips; this program counts on one per chip"
        )
    return Target(topology, slices, list(devices), chip)


def larger(topology: str) -> str | None:
    """Return the topology of twice the chips, 'v5e:4x4' for 'v5e:2x4'; None: there is none."""
    kind, _, shape = topology.partition(":")
    if kind not in TPUS:
        return None
    sides = [*map(int, shape.split("x"))]
    sides[sides.index(min(sides))] *= 2
    if math.prod(sides) > TPUS[kind].largest_slice:
        return None
    return f"{kind}:{'x'.join(map(str, sides))}"
