"""Starts a program several times on this machine, as torchrun would, and waits for its processes; the ranks of such a
process."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import abc
from collections.abc import Callable, Mapping
from types import FrameType
from typing import NamedTuple

from lib.runtime.children import end_when_closed
from lib.runtime.machine import usable_cores

logger = logging.getLogger(__name__)
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds until processes that do not end are killed: after a signal, while they save a checkpoint of some 4 GB, and
# after another one has failed, for which they may be waiting.
AFTER_SIGNAL, AFTER_FAILURE = 120.0, 30.0
LOOK_EVERY = 0.1
_LAUNCHER = "TRACKING_LAUNCHER"  # environment variable with the pipe that closes with the launcher


class Ranks(NamedTuple):
    """Number of this process in the run and on its machine, and the number of processes in the run."""

    rank: int
    local_rank: int
    world: int


def ranks() -> Ranks:
    """The ranks in the variables that torchrun and ``launch`` set; without them this process is the only one."""
    defaults = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1}
    return Ranks(*(int(os.environ.get(name, default)) for name, default in defaults.items()))


def launch(processes: int, command: list[str]) -> int:
    """Runs ``command`` (a Python file and its arguments) in ``processes`` processes that compute together on this
    machine; returns the exit code.

    The processes get the variables that torchrun sets (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, ...).
    SIGINT and SIGTERM (and SIGHUP, as SIGTERM) are passed on to them; after they have ended, 130 or 143 is returned. A
    second SIGINT kills them. If a process fails, the others are ended and its code is returned (1 if a signal killed
    it). Main thread only.

    torchrun itself raises an exception from its signal handler; inside ``Popen.poll`` this leaves a lock held, and
    torchrun then waits for it forever. The handler here only takes a note.

    The store through which the processes meet listens on the loopback alone, and so do gloo's connections unless
    GLOO_SOCKET_IFNAME is set.
    """
    from torch.distributed import TCPStore  # not above: launch_apart serves programs that run without torch

    # The launcher keeps the store open, so no other program can take the port. It gets a listening socket, because
    # torch's own would listen on all interfaces. With TORCHELASTIC_* the processes meet there, as under torchrun,
    # instead of opening a store in rank 0.
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    meeting = {
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", loopback),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    return _Launcher(processes, command, meeting).run()


def launch_apart(
    processes: int, command: list[str], variables: Mapping[str, str], files: list[int], look: Callable[[], None]
) -> int:
    """As ``launch``, for processes that work independently: if one ends, the others go on; one that was killed by a
    signal is replaced, 2 * ``processes`` times in all.

    They get ``variables`` instead of those for meeting, and the open ``files`` under the same numbers. ``look`` is
    called every tenth of a second. Returns 130 or 143 after a signal, otherwise 0, however they ended.
    """
    return _Launcher(processes, command, variables, files, look, replacements=2 * processes).run()


def has_launcher() -> bool:
    """Whether ``launch`` or ``launch_apart`` started this process."""
    return _LAUNCHER in os.environ


def end_with_launcher() -> None:
    """Ends this process (by SIGTERM, later by force) as soon as its launcher has ended."""

    def end() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(AFTER_FAILURE)
        os._exit(1)

    end_when_closed(int(os.environ[_LAUNCHER]), end)


class _Launcher:
    def __init__(
        self,
        processes: int,
        command: list[str],
        variables: Mapping[str, str],
        files: abc.Sequence[int] = (),
        look: Callable[[], None] = lambda: None,
        replacements: int | None = None,
    ) -> None:
        self._processes, self._command, self._variables = processes, command, variables
        self._files, self._look = files, look
        self._replacements = replacements  # None: the first that fails takes the others with it
        self._children: list[subprocess.Popen[bytes]] = []
        self._received: list[int] = []
        self._watched, self._held = os.pipe()

    def run(self) -> int:
        # An ignored signal (``nohup``) stays ignored.
        handled = [number for number in HANDLED if signal.getsignal(number) is not signal.SIG_IGN]
        earlier = {number: signal.signal(number, self._note) for number in handled}
        try:
            for rank in range(self._processes):
                self._children.append(self._start(rank))
            return self._wait()
        finally:
            self._send(signal.SIGKILL)
            os.close(self._watched)
            os.close(self._held)
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)

    def _start(self, rank: int) -> subprocess.Popen[bytes]:
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, usable_cores() // self._processes)))
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": self._processes, "LOCAL_WORLD_SIZE": self._processes}
        variables = {name: str(value) for name, value in (numbers | {_LAUNCHER: self._watched}).items()}
        environment = {**os.environ, **variables, "OMP_NUM_THREADS": threads, **self._variables}
        # In its own session, so that Ctrl-C in a terminal reaches it once, through the launcher.
        return subprocess.Popen(
            [sys.executable, *self._command],
            env=environment,
            start_new_session=True,
            pass_fds=[*self._files, self._watched],
        )

    def _wait(self) -> int:
        """Waits until all have ended; returns the exit code."""
        passed_on, failure, deadline = 0, 0, float("inf")
        while True:
            self._look()
            codes = [child.poll() for child in self._children]
            if self._replacements is None and not failure and any(codes):
                rank = next(rank for rank, code in enumerate(codes) if code)
                failure = codes[rank] if codes[rank] > 0 else 1
                if not self._received:
                    if codes[rank] < 0:
                        logger.error("process %d %s", rank, _ending(codes[rank]))
                    self._send(signal.SIGTERM)
                # Also after a signal: another may wait for this one in torch's rendezvous, where no handler runs.
                deadline = min(deadline, time.monotonic() + AFTER_FAILURE)
            elif self._replacements and not self._received:
                codes = [self._replaced(rank, code) for rank, code in enumerate(codes)]
            if None not in codes:
                return 128 + self._received[0] if self._received else failure
            while passed_on < len(self._received):
                number = self._received[passed_on]
                self._send(signal.SIGTERM if number == signal.SIGHUP else number)
                if not passed_on:
                    deadline = min(deadline, time.monotonic() + AFTER_SIGNAL)
                elif signal.SIGINT in self._received[: passed_on + 1]:
                    deadline = 0.0
                passed_on += 1
            if time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            time.sleep(LOOK_EVERY)

    def _replaced(self, rank: int, code: int | None) -> int | None:
        """The exit code of a process, None while it runs; one that was killed is started again while replacements are
        left."""
        if code is None or code >= 0 or not self._replacements:
            return code
        self._replacements -= 1
        logger.error("process %d %s; another takes its place", rank, _ending(code))
        self._children[rank] = self._start(rank)
        return None

    def _send(self, number: int) -> None:
        """Sends a signal to each running process and to its data workers, which are in its process group."""
        for child in self._children:
            if child.poll() is None:
                os.killpg(child.pid, number)


def _ending(code: int) -> str:
    hint = " (often a lack of memory)" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
