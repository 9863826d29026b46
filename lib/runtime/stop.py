"""Stopping on request: SIGINT (Ctrl-C) and SIGTERM set a number to check instead of interrupting."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it is treated like Ctrl-C."""


def interruption(number: int, message: str = "") -> KeyboardInterrupt:
    """The exception of a stop by the signal ``number``, with a message for ``lib.runtime.program`` to print."""
    return (Terminated if number == signal.SIGTERM else KeyboardInterrupt)(message)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """In the block SIGTERM, which schedulers send, raises ``Terminated``. Main thread only."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    earlier = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


class StopRequested(Exception):
    """Work stopped because of ``signal``, at a point where everything can be saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class StopSignals:
    """In the block the two signals only set ``received``; the work checks it and stops between two steps.

    A second signal ends the process at once if either of the two is a SIGINT, because a person is waiting. SIGTERM
    alone may come twice, from a scheduler and from a launcher, and counts once. Main thread only.
    """

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> Self:
        self._earlier = {number: signal.signal(number, self._receive) for number in STOPPING}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and signal.SIGINT in (self.received, number):
            os._exit(128 + self.received)
        self.received = self.received or number
