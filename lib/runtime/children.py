"""Child processes that end with their parent, however it ends."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any


def end_when_closed(pipe: int, end: Callable[[], None]) -> None:
    """Calls ``end``, in a thread, as soon as the other end of ``pipe``, an open file, is closed: when the last process
    that holds it has ended in any way."""
    threading.Thread(target=lambda: (wait([pipe]), end()), name="parent", daemon=True).start()


def end_with_parent() -> None:
    """Ends this process, which ``multiprocessing`` started, as soon as the process that requested it has ended.

    With a fork server the parent process is that server, which lives as long as its children. So the child watches the
    pipe that ``multiprocessing`` gives it; only the requesting process holds its other end.
    """
    end_when_closed(multiprocessing.parent_process().sentinel, lambda: os._exit(1))


def preload_project() -> None:
    """Lets the fork server, which starts with the first process, import the modules of this project that are imported
    here, which saves each of its processes seconds. Its own way, to import the main module, fails in several versions
    of Python, 3.11 among them."""
    modules = [name for name in sys.modules if name.partition(".")[0] == "lib"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)


@contextmanager
def starting_blocked(numbers: Iterable[int]) -> Iterator[None]:
    """Processes that ``multiprocessing`` starts in this block are born with these signals blocked, and so are the later
    children of a fork server that starts in it."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        resource_tracker.ensure_running()  # when it starts, it unblocks signals
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


class KilledError(ValueError):
    """A process of ``Processes`` was killed; the message has the likely reason and the remedy."""


class Processes(ProcessPoolExecutor):
    """Processes for tasks; threads (``lib.runtime.threads``) are enough for most.

    They are spawned, because a forked one could inherit locks of torch's threads, and call ``prepare`` first. Ctrl-C
    does not reach them: they end with the ``with`` block, at once if an exception leaves it. If one is killed, the
    block ends with a ``KilledError``.
    """

    def __init__(self, processes: int, prepare: Callable[[], Any] = int) -> None:
        super().__init__(processes, multiprocessing.get_context("spawn"), _begin, (prepare,))
        self._others = set(multiprocessing.active_children())

    def submit(self, task: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Starts a task; the processes that start with it are not reached by Ctrl-C."""
        with starting_blocked({signal.SIGINT}):  # a process may start
            return super().submit(task, *arguments)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            for child in set(multiprocessing.active_children()) - self._others:
                child.kill()
        self.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise KilledError(
                "a process was killed (often a lack of memory); start again, with fewer processes if it happens again"
            ) from error


def _begin(prepare: Callable[[], Any]) -> None:
    end_with_parent()
    prepare()
