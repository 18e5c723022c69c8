"""Ctrl-C and SIGTERM: the loop ends cleanly."""

import signal
from types import FrameType, TracebackType

import jax


class StopSignal:
    """Notes the first Ctrl-C or SIGTERM, for the loop to end cleanly; the second one kills."""

    received = False

    def __enter__(self) -> "StopSignal":
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        signal.signal(number, self._before[signal.Signals(number)])
        together = "" if jax.process_count() == 1 else ", as all processes will,"
        name = signal.Signals(number).name
        print(f"\n{name}: ending{together} after this step (again: at once)", flush=True)
