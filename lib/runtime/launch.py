"""Starts several processes on this machine and waits for them."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from lib.runtime.children import end_when_closed, starting_blocked
from lib.runtime.machine import usable_cores
from lib.runtime.program import program
from lib.runtime.stop import handled

logger = logging.getLogger(__name__)
# Seconds until processes that do not end are killed: after a signal, while they save a checkpoint of some 4 GB, and
# after another one has failed, for which they may be waiting.
AFTER_SIGNAL, AFTER_FAILURE = 120.0, 30.0
LOOK_EVERY = 0.1
_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGHUP)


def launch(processes: int, task: Callable[[], int]) -> int:
    """Runs ``task``, which is pickled and returns an exit code, in ``processes`` processes that compute together on
    this machine; returns the exit code.

    The processes get the variables that torchrun sets (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, ...),
    and ``task`` begins and ends as a program. At SIGINT, SIGTERM or SIGHUP they get a SIGTERM; after they have ended,
    128 and the signal's number are returned. A second SIGINT kills them. If a process fails, the others are ended and
    its code is returned (1 if a signal killed it). Main thread only.

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
    return _Launcher(processes, task, meeting).run()


def launch_apart(processes: int, task: Callable[[], int], look: Callable[[], None]) -> int:
    """As ``launch``, for processes that work independently: if one ends, the others go on; one that was killed by a
    signal is replaced, 2 * ``processes`` times in all.

    ``look`` is called every tenth of a second. Returns 130 or 143 after a signal, otherwise 0, however they ended.
    """
    return _Launcher(processes, task, {}, look, replacements=2 * processes).run()


@dataclass
class _Launcher:
    processes: int
    task: Callable[[], int]
    variables: Mapping[str, str]
    look: Callable[[], None] = lambda: None
    replacements: int | None = None  # None: the first process that fails takes the others with it
    children: list[multiprocessing.Process] = field(default_factory=list)
    received: list[int] = field(default_factory=list)

    def run(self) -> int:
        # An ignored signal (``nohup``) stays ignored.
        heeded = [n for n in (*_OF_THE_TERMINAL, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
        with handled(heeded, lambda number, frame: self.received.append(number)):
            try:
                for rank in range(self.processes):
                    self.children.append(self._start(rank))
                return self._wait()
            finally:
                for child in self.children:
                    child.kill()

    def _start(self, rank: int) -> multiprocessing.Process:
        threads = os.environ.get("OMP_NUM_THREADS", max(1, usable_cores() // self.processes))
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": self.processes, "LOCAL_WORLD_SIZE": self.processes}
        own = numbers | {"OMP_NUM_THREADS": threads, "PYTHONSAFEPATH": 1}  # no modules of the current folder
        variables = {name: str(value) for name, value in own.items()}
        child = multiprocessing.get_context("spawn").Process(target=_begin, args=(self.task,))
        # The terminal's signals reach the launcher alone. The variables are there before libraries are imported.
        with starting_blocked(_OF_THE_TERMINAL), _environment(variables | self.variables):
            child.start()
        return child

    def _wait(self) -> int:
        """Waits until all have ended; returns the exit code."""
        failure, stopping, deadline = 0, False, float("inf")
        while True:
            self.look()
            codes = [child.exitcode for child in self.children]
            for rank, code in enumerate(codes):
                if code and self.replacements is None and not failure:
                    failure = max(code, 0) or 1
                    if code < 0 and not self.received:
                        logger.error("process %d %s", rank, _ending(code))
                    # Also after a signal: another may wait for it in torch's rendezvous, where no handler runs.
                    deadline = min(deadline, time.monotonic() + AFTER_FAILURE)
                elif code and code < 0 and self.replacements and not self.received:
                    self.replacements -= 1
                    logger.error("process %d %s; another takes its place", rank, _ending(code))
                    self.children[rank], codes[rank] = self._start(rank), None
            if None not in codes:
                return 128 + self.received[0] if self.received else failure
            if (failure or self.received) and not stopping:
                stopping, deadline = True, min(deadline, time.monotonic() + AFTER_SIGNAL)
                for child in self.children:
                    child.terminate()
            if time.monotonic() > deadline or self.received[1:] and signal.SIGINT in self.received:
                for child in self.children:
                    child.kill()
            time.sleep(LOOK_EVERY)


def _begin(task: Callable[[], int]) -> None:
    """The whole of a process; it ends with its launcher: by SIGTERM, later by force."""

    def end() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(AFTER_FAILURE)
        os._exit(1)

    end_when_closed(multiprocessing.parent_process().sentinel, end)
    sys.exit(program()(task)())


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """In the block the environment has these variables too."""
    earlier = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(earlier)


def _ending(code: int) -> str:
    hint = " (often a lack of memory)" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
