"""Batches of samples, prepared by worker processes and delivered in order."""

import multiprocessing
import os
import re
import shutil
import signal
import threading
from collections import abc
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, default_convert, get_worker_info

from lib.data.batch import Batch, stack
from lib.data.decoding.images import ImageError
from lib.data.pairs import Pairs
from lib.geometry.crop import EmptyCropError
from lib.runtime.children import end_with_parent, preload_project, starting_blocked
from lib.runtime.machine import keep_large_buffers

# Signals whose effect the main process decides. macOS has no sigwaitinfo; there any SIGTERM ends a worker.
_MAIN_DECIDES = {signal.SIGINT, signal.SIGTERM} if hasattr(signal, "sigwaitinfo") else {signal.SIGINT}


# Not "fork": a worker forked beside gloo's threads sometimes finds a lock of the interpreter held for ever. The fork
# server is a fresh process without threads.
_START_METHOD = "forkserver"
SHARED_MEMORY = Path("/dev/shm")  # where Linux keeps the memory in which batches come from workers
_AHEAD = 2  # batches that each worker prepares in advance


class WorkerError(ValueError):
    """Workers cannot deliver batches; the message names the reason and the remedy."""


def load_batches(
    pairs: Pairs, groups: Iterable[abc.Sequence[int]], workers: int, pin_memory: bool = False
) -> Iterator[Batch]:
    """One batch for each group of sample numbers, in order and the same for any number of ``workers``.

    ``groups`` may be lazy (all groups of a run), so that workers start only once; it is read a few groups ahead. With 0
    workers this process prepares the samples. ``pin_memory`` is for a CUDA device. Raises the ``ValueError`` of a
    sample that cannot be drawn, without a worker's traceback, and ``WorkerError`` if a worker, or the server that forks
    them, was killed.
    """
    loader = DataLoader(
        _Samples(pairs),
        batch_sampler=groups,
        num_workers=workers,
        collate_fn=default_convert,  # of no batch or error: they pass as they are
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        multiprocessing_context=_START_METHOD if workers else None,
        prefetch_factor=_AHEAD if workers else None,
        # Starting an iterator draws a number; from this generator it leaves torch's global one alone.
        generator=torch.Generator(),
    )
    # No variable for the iterator: an error's traceback would keep it, and with it the workers, alive. For the same
    # reason the error below is not raised where torch's is caught.
    try:
        for item in _start(loader):
            if isinstance(item, ValueError):
                raise item
            yield item
        return
    except (RuntimeError, EOFError, ConnectionError) as error:
        if not workers or not _worker_was_killed(error):
            raise
    raise WorkerError(
        "a data worker was killed (often a lack of memory); run the same command again, with fewer data.workers or "
        "data.workers=0 if it happens again"
    )


def _start(loader: DataLoader) -> Iterator[Batch | ValueError]:
    """Torch's iterator; it starts the workers and, the first time, the server they are forked from."""
    preload_project()
    try:
        with starting_blocked(_MAIN_DECIDES):
            return iter(loader)
    except OSError as error:
        raise WorkerError(
            f"data workers cannot be started ({error.strerror or error}); is {SHARED_MEMORY} full, or are too many "
            "processes or files open? data.workers=0 needs none of them"
        ) from error


class _Samples(Dataset):
    """The dataset of torch's loader: makes one batch at a time in a worker."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def __getitems__(self, numbers: abc.Sequence[int]) -> Batch | ValueError:
        try:
            batch = stack(self._pairs.sample(number) for number in numbers)
        except (ImageError, EmptyCropError) as error:
            return error
        if get_worker_info() is None:
            return batch
        # Here, not in the thread that sends the batch: its error would be printed, and the batch never come.
        try:
            return batch.shared()
        except RuntimeError:
            size, free = batch.nbytes / 1e6, shutil.disk_usage(SHARED_MEMORY).free / 1e6
            return WorkerError(
                f"{SHARED_MEMORY}: no room for a batch of {size:.1f} MB, {free:.1f} MB are free; start the container "
                "with a larger --shm-size, or set data.workers=0 or fewer"
            )


def _worker_was_killed(error: Exception) -> bool:
    """Whether torch's loader raised it because of a killed worker; a worker's own error has its traceback as text."""
    if isinstance(error, RuntimeError):
        return re.match(r"DataLoader worker \(pid|Pin memory thread exited", str(error)) is not None
    return "in DataLoader worker process" not in str(error)


def _start_worker(_number: int) -> None:
    """Prepare a worker: memory is kept for images, OpenCV uses one thread, and the main process decides when it ends.

    A Ctrl-C, and a SIGTERM from a scheduler, torchrun or ``timeout``, reach every process of the group, but the main
    process finishes its step first, which needs the workers. So both are blocked, and only the parent's SIGTERM counts.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _MAIN_DECIDES)  # first, as threads inherit it
    end_with_parent()
    keep_large_buffers()
    cv2.setNumThreads(0)  # torch's loader has set torch to one thread already
    if signal.SIGTERM in _MAIN_DECIDES:
        threading.Thread(target=_exit_for_parent, daemon=True).start()


def _exit_for_parent() -> None:
    parent = multiprocessing.parent_process()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        pass
    os._exit(0)
