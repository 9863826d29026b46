"""Stopping on request: SIGINT (Ctrl-C) and SIGTERM become a number to look at instead of an interruption."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it is treated like Ctrl-C."""


def interruption(number: int, message: str = "") -> KeyboardInterrupt:
    """The exception of a stop by the signal ``number``, with a message for ``lib.runtime.program`` to print."""
    return (Terminated if number == signal.SIGTERM else KeyboardInterrupt)(message)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Inside the block SIGTERM, a scheduler's word for Ctrl-C, raises ``Terminated``. Main thread only."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    earlier = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


class StopRequested(Exception):
    """Work was left because of ``signal``, at a point where everything worth keeping can be kept."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class StopSignals:
    """Inside the block the two signals only set ``received``; whoever works looks there and stops when it suits.

    A second signal leaves the process at once, with nothing but the kernel's tidying, if either of the two is a SIGINT:
    a person is waiting. SIGTERM alone may come twice, from a scheduler and from a launcher, and means one stop. Main
    thread only.
    """

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> StopSignals:
        self._earlier = {number: signal.signal(number, self._receive) for number in STOPPING}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and signal.SIGINT in (self.received, number):
            os._exit(128 + self.received)
        self.received = self.received or number
