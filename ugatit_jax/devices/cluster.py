"""The processes of a run, as a command line names them."""

from dataclasses import dataclass

from ugatit_jax.console.errors import InputError, in_a_line

MOST = 10**6  # processes, and seconds: what JAX counts in 32 bits has room for more


@dataclass(frozen=True)
class Cluster:
    """Which processes make up a run, and for how long, in s, they wait for each other.

    `coordinator` is HOST:PORT of process 0; None: whatever started the processes knows.
    """

    coordinator: str | None = None
    num_processes: int = 1
    process_id: int = 0
    start_timeout: int = 300
    heartbeat_timeout: int = 60

    def check(self) -> None:
        """Raise `InputError` for a cluster that cannot be."""
        for flag, value in (
            ("start-timeout", self.start_timeout),
            ("heartbeat-timeout", self.heartbeat_timeout),
            ("num-processes", self.num_processes),
        ):
            if value < 1:
                raise InputError(f"--{flag} is {value}; it must be at least 1")
            if value > MOST:
                raise InputError(f"--{flag} is {in_a_line(value, 40)}; it must be {MOST:,} or less")
        if not 0 <= self.process_id < self.num_processes:
            raise InputError(
                f"--process-id is {self.process_id}; of {self.num_processes} processes it must be "
                f"one of 0 to {self.num_processes - 1}"
            )
        if self.coordinator is not None:
            host, _, port = self.coordinator.rpartition(":")
            if not (host and port.isdecimal() and 0 < int(port) < 2**16):
                raise InputError(
                    f"--coordinator is {self.coordinator!r}; it must be HOST:PORT of process 0"
                )
