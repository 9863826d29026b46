"""Processes that end with the one that started them, however that ends, and the pool that runs tasks in such."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")

# Tasks that wait for each process of a pool: enough that none is idle, few enough to read their items as they are used.
_AHEAD = 4


class KilledError(ValueError):
    """A process of a pool was killed; the message has the likely reason and the remedy."""


def end_when_closed(pipe: int, end: Callable[[], None]) -> None:
    """Calls ``end``, in a thread, as soon as the other end of ``pipe``, an open file, is closed.

    The kernel closes it with the last process that holds it, whichever way that process ended.
    """
    threading.Thread(target=lambda: (wait([pipe]), end()), name="parent", daemon=True).start()


def end_with_parent() -> None:
    """Ends this process, which ``multiprocessing`` started, as soon as the process that asked for it has ended.

    With a fork server the parent by number is that server, which lives as long as its children do. So the child watches
    the pipe that ``multiprocessing`` gives it, whose other end is in the process that asked alone.
    """
    end_when_closed(multiprocessing.parent_process().sentinel, lambda: os._exit(1))


def preload_project() -> None:
    """Has the fork server, which starts with the first process, load the modules of this project that this one has
    loaded, so that its processes need not. Its own rule, to load the main module, fails in several versions of Python
    (3.11 among them), and each process would take seconds to import it."""
    modules = [name for name in sys.modules if name.partition(".")[0] == "lib"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)


@contextmanager
def born_blocking(numbers: Iterable[int]) -> Iterator[None]:
    """Processes that ``multiprocessing`` starts in this block, a fork server too, are born with these signals blocked;
    so is what a fork server starts later."""
    resource_tracker.ensure_running()  # it would lift the block if it started within
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


class Pool:
    """Up to ``processes`` processes for tasks; with 0 the tasks run in this process.

    The processes are started afresh, as a forked one could inherit locks of torch's threads, and call ``prepare``
    first. Ctrl-C, which reaches the whole group, does not reach them: they end with the ``with`` block, at once if it
    is left by an exception. One that is killed ends the block with a ``KilledError``; ``activity`` completes its
    message, "a process that ... was killed".
    """

    def __init__(self, processes: int, activity: str, prepare: Callable[[], Any] = int) -> None:
        self._processes, self._activity = processes, activity
        self._executor = None
        if processes:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(processes, context, _begin, (prepare,))

    def __enter__(self) -> Pool:
        self._others = set(multiprocessing.active_children())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._executor is None:
            return
        if kind is not None:
            for child in set(multiprocessing.active_children()) - self._others:
                child.kill()
        self._executor.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise KilledError(
                f"a process that {self._activity} was killed (often a lack of memory); start again, with fewer "
                "processes if it happens again"
            ) from error

    def each(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The result of ``task`` for each item, in order; a few items are taken in advance."""
        if self._executor is None:
            yield from map(task, items)
            return
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(self._submit(task, item))
            if len(pending) > _AHEAD * self._processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _submit(self, task: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Hands over a task, for which a process may start."""
        with born_blocking({signal.SIGINT}):
            return self._executor.submit(task, item)


def _begin(prepare: Callable[[], Any]) -> None:
    end_with_parent()
    prepare()
