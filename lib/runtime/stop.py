"""Stopping on request: SIGINT (Ctrl-C) and SIGTERM set a number to check instead of interrupting."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it is treated like Ctrl-C."""


def interruption(number: int, message: str = "") -> KeyboardInterrupt:
    """The exception of a stop by the signal ``number``, with a message for ``lib.runtime.program`` to print."""
    return (Terminated if number == signal.SIGTERM else KeyboardInterrupt)(message)


@contextmanager
def handled(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """In the block ``handler`` gets these signals. Main thread only, as the blocks below."""
    earlier = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in earlier.items():
            signal.signal(number, before)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """In the block SIGTERM raises ``Terminated``. A second one, as from a scheduler and from a launcher, is ignored: it
    would interrupt the cleaning up."""

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Terminated

    with handled([signal.SIGTERM], terminate):
        yield


class StopRequested(Exception):
    """Work stops because of the signal that the argument numbers, at a point where everything can be saved."""


@dataclass
class Stop:
    """``received``: the number of the signal that asks to stop; 0 without one."""

    received: int = 0


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """In the block the two signals only set ``received``; the work checks it and stops between two steps.

    A second signal ends the process at once if either of the two is a SIGINT, because a person is waiting. SIGTERM
    alone may come twice, from a scheduler and from a launcher, and counts once.
    """
    stop = Stop()

    def receive(number: int, frame: FrameType | None) -> None:
        if stop.received and signal.SIGINT in (stop.received, number):
            os._exit(128 + stop.received)
        stop.received = stop.received or number

    with handled((signal.SIGINT, signal.SIGTERM), receive):
        yield stop
