"""Work in threads: for reading and image coding, which release Python's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item, _Result = TypeVar("_Item"), TypeVar("_Result")

_AHEAD = 4  # items that wait for each thread: enough to keep it busy, few enough to read items only as they are used


def in_threads(task: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """The result of ``task`` for each item, in order; a few items are read ahead.

    The first error, of ``task`` or of the caller's loop, drops the items that wait and ends with the tasks that run.
    """
    executor = ThreadPoolExecutor(threads)
    pending: deque[Future[_Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(task, item))
            if len(pending) > _AHEAD * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)
