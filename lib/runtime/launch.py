"""Starting a program once a device on this machine, as torchrun would, and saying afterwards how it ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from types import FrameType

from torch.distributed import TCPStore

logger = logging.getLogger(__name__)
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds that processes have to end in before they are killed: after a signal, in which they save a checkpoint of
# some 4 GB, and after another of them has failed, when all they may do is wait for it.
AFTER_SIGNAL, AFTER_FAILURE = 120.0, 30.0
LOOK_EVERY = 0.1


def launch(processes: int, command: list[str]) -> int:
    """Runs ``command`` (a Python file and its arguments) in ``processes`` processes on this machine; the exit code.

    The processes find the variables that torchrun sets (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, ...).
    SIGINT and SIGTERM (and SIGHUP, as SIGTERM) are passed on to them and waited for, and give 130 and 143; a second
    SIGINT kills them. A process that fails takes the others with it, and its code is returned (1 if a signal killed
    it). Main thread only.

    It is not torchrun itself, because torchrun raises its signals' exception wherever the program happens to be, and
    within ``Popen.poll`` that leaves a lock held for which it then waits for ever; a handler here only takes a note.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    # An ignored signal (``nohup``) stays ignored.
    handled = [number for number in HANDLED if signal.getsignal(number) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, note) for number in handled}
    # The launcher keeps the store through which the processes find each other, so no other program can take the port.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(processes):
            # A session of its own: Ctrl-C in a terminal reaches the launcher alone, and the process once, through it.
            child = subprocess.Popen(
                [sys.executable, *command], env=_environment(rank, processes, store.port), start_new_session=True
            )
            children.append(child)
        return _wait(children, received)
    finally:
        _send(children, signal.SIGKILL)
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _environment(rank: int, processes: int, port: int) -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // processes)))
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    # The last two have the processes meet at the launcher's store, as under torchrun, instead of opening one in rank 0.
    meeting = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    return {
        **os.environ,
        **{name: str(value) for name, value in numbers.items()},
        **{"OMP_NUM_THREADS": threads, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        **meeting,
    }


def _wait(children: list[subprocess.Popen[bytes]], received: list[int]) -> int:
    """Until all have ended; what ``launch`` returns."""
    passed_on, failure, deadline = 0, 0, float("inf")
    while True:
        codes = [child.poll() for child in children]
        if not failure and any(codes):
            rank = next(rank for rank, code in enumerate(codes) if code)
            failure = codes[rank] if codes[rank] > 0 else 1
            if not received:
                if codes[rank] < 0:
                    logger.error("process %d was killed by %s", rank, signal.Signals(-codes[rank]).name)
                _send(children, signal.SIGTERM)
                deadline = time.monotonic() + AFTER_FAILURE
        if None not in codes:
            return 128 + received[0] if received else failure
        while passed_on < len(received):
            number = received[passed_on]
            _send(children, signal.SIGTERM if number == signal.SIGHUP else number)
            if not passed_on:
                deadline = time.monotonic() + AFTER_SIGNAL
            elif signal.SIGINT in received[: passed_on + 1]:
                deadline = 0.0
            passed_on += 1
        if time.monotonic() > deadline:
            _send(children, signal.SIGKILL)
        time.sleep(LOOK_EVERY)


def _send(children: list[subprocess.Popen[bytes]], number: int) -> None:
    """To each process that runs, and to the data workers that it started: its session is one group."""
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, number)
