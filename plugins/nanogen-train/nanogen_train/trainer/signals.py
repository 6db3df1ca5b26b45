"""Stop requests by Ctrl-C, SIGTERM or SIGHUP: the run ends after its step, usually with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopRequest:
    """Becomes true when a signal arrives. A further Ctrl-C raises KeyboardInterrupt.

    Further signals of other kinds are ignored: SLURM and torchrun both send SIGTERM to a process when a job ends.
    """

    def __init__(self) -> None:
        self._requested = False

    def __bool__(self) -> bool:
        return self._requested

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._requested = True


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Handle stop signals while the block runs.

    Python delivers signals only to the main thread. In other threads, this function does nothing.
    """
    request = StopRequest()
    if current_thread() is not main_thread():
        yield request
        return
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP
    previous = {number: signal.signal(number, request.on_signal) for number in handled}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
