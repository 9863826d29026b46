"""Child processes that end with their parent, however it ends, and a pool of such processes."""

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
from typing import Any, Self, TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")

# Tasks that wait for each process of a pool: enough to keep it busy, few enough to read items only as they are used.
_AHEAD = 4


class KilledError(ValueError):
    """A process of a pool was killed; the message has the likely reason and the remedy."""


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
def born_blocking(numbers: Iterable[int]) -> Iterator[None]:
    """Processes that ``multiprocessing`` starts in this block are born with these signals blocked, and so are the later
    children of a fork server that starts in it."""
    resource_tracker.ensure_running()  # if it started within the block, it would unblock the signals
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


class Pool:
    """Up to ``processes`` processes for tasks; with 0 the tasks run in this process.

    The processes are spawned, because a forked one could inherit locks of torch's threads, and call ``prepare`` first.
    Ctrl-C does not reach them: they end with the ``with`` block, at once if an exception leaves it. If one is killed,
    the block ends with a ``KilledError``; ``activity`` completes its message, "a process that ... was killed".
    """

    def __init__(self, processes: int, activity: str, prepare: Callable[[], Any] = int) -> None:
        self._processes, self._activity = processes, activity
        self._executor = None
        if processes:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(processes, context, _begin, (prepare,))

    def __enter__(self) -> Self:
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
        """The result of ``task`` for each item, in order; a few items are read in advance."""
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
        """Submits a task, for which a process may start."""
        with born_blocking({signal.SIGINT}):
            return self._executor.submit(task, item)


def _begin(prepare: Callable[[], Any]) -> None:
    end_with_parent()
    prepare()
