"""What chips can do at best, as their makers say it: memory, arithmetic, and links.

Bandwidths are bytes per second, memory is bytes, arithmetic is bfloat16 FLOP/s with dense inputs.
Every figure is of a chip, and JAX has one device per chip: the two cores of a v4 or v5p chip work
as one ("megacore").
"""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One kind of chip."""

    name: str
    hbm: float  # bytes that a program may take, a little less than the chip has
    flops: float
    hbm_bandwidth: float
    link: float  # one of the links to other chips, in one direction
    links_of_a_ring: int  # links over which a chip sends at once in a ring
    dcn: float | None  # its share of its host's network, in one direction
    largest_slice: int  # chips that can be had in one slice, or in one host with GPUs
    source: str

    @property
    def ring(self) -> float:
        """Bytes per second that a chip sends in a ring over all chips."""
        return self.link * self.links_of_a_ring


# Arithmetic, bandwidths and largest slices: Cloud TPU's documentation, cloud.google.com/tpu/docs/.
# Its "bidirectional ICI bandwidth per chip" counts all links (4, or 6 in the 3D torus) and both
# directions. A ring goes through every mesh of chips, with or without wrap-around: two links of
# each chip, both directions at once. Memory: what libtpu 0.0.52 calls available when it refuses a
# program (the documentation says 32, 16, 95 and 32 GB).
TPUS = {
    "v4": Chip(
        name="TPU v4",
        hbm=30.75 * GIB,
        flops=275e12,
        hbm_bandwidth=1200e9,
        link=50e9,
        links_of_a_ring=2,
        dcn=6.25e9,
        largest_slice=4096,
        source="cloud.google.com/tpu/docs/v4; links: arxiv.org/abs/2304.01433, table 4; "
        "host network assumed as v5p's",
    ),
    "v5e": Chip(
        name="TPU v5e",
        hbm=15.75 * GIB,
        flops=197e12,
        hbm_bandwidth=819e9,
        link=50e9,  # 400 GB/s / 4 links / 2 directions
        links_of_a_ring=2,
        dcn=3.125e9,  # 6.4 Tbit/s / 256 chips
        largest_slice=256,
        source="cloud.google.com/tpu/docs/v5e",
    ),
    "v5p": Chip(
        name="TPU v5p",
        hbm=95.73 * GIB,
        flops=459e12,
        hbm_bandwidth=2765e9,
        link=100e9,  # 1200 GB/s / 6 links / 2 directions
        links_of_a_ring=2,
        dcn=6.25e9,  # 50 Gbit/s
        largest_slice=6144,
        source="cloud.google.com/tpu/docs/v5p",
    ),
    "v6e": Chip(
        name="TPU v6e",
        hbm=31.24 * GIB,
        flops=918e12,
        hbm_bandwidth=1638e9,
        link=100e9,  # 800 GB/s / 4 links / 2 directions
        links_of_a_ring=2,
        dcn=12.5e9,  # 25.6 Tbit/s / 256 chips
        largest_slice=256,
        source="cloud.google.com/tpu/docs/v6e",
    ),
}

# NVIDIA's data sheets, SXM versions. "NVLink 900 GB/s" counts both directions. Memory is what they
# have; JAX takes three quarters of it unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
GPUS = {
    "A100": Chip("NVIDIA A100", 80e9, 312e12, 2039e9, 300e9, 1, None, 8, "nvidia.com, A100 80GB"),
    "H100": Chip("NVIDIA H100", 80e9, 989e12, 3350e9, 450e9, 1, None, 8, "nvidia.com, H100 SXM"),
    "H200": Chip("NVIDIA H200", 141e9, 989e12, 4800e9, 450e9, 1, None, 8, "nvidia.com, H200 SXM"),
}

KINDS = f"{', '.join(f'{kind}:AxB' for kind in TPUS)}, gpu, cpu"  # of topologies


def find_gpu(device_kind: str) -> Chip | None:
    """Return the chip of a JAX device's `device_kind`, 'NVIDIA H100 80GB HBM3'; None: unknown."""
    return next((chip for name, chip in GPUS.items() if name in device_kind), None)
