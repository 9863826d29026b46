"""Locks for one writer at a time: of an output folder, a dataset that is packed, a sequence.

The lock is flock(2) on a small file that names its holder. The kernel releases it when the process ends, however it
ends, so a file that a killed process left locks nothing. Containers of a machine share it, and so do machines where the
network file system passes flock on: NFS does since Linux 2.6.12 unless it is mounted with ``local_lock``, Lustre with
``flock``. On a disk without flock nothing is locked, and a warning is logged.
"""

import errno
import fcntl
import functools
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

logger = logging.getLogger(__name__)


class LockedError(ValueError):
    """Another process writes there; the message names the place, the host and the process."""


@contextmanager
def only_writer(
    target: Path, lock: Path | None = None, remedy: str = "wait for it, or end it", wait: bool = False
) -> Iterator[None]:
    """Keeps other processes from writing ``target`` for the length of the block, by the file ``lock`` (``lock_of`` it
    unless given). If another process is in such a block, raises ``LockedError`` at once, or waits for it."""
    lock = lock or lock_of(target)
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = open_locked(lock)
    if file is None:
        holder = ""
        with suppress(FileNotFoundError):  # it has just ended
            holder = lock.read_text("utf-8").strip()
        problem = f"{target}: {holder or 'another process'} is writing it"
        if not wait:
            raise LockedError(f"{problem}; {remedy}")
        logger.info("%s; waiting for it", problem)
        file = open_locked(lock, wait=True)
    with file:
        try:
            file.truncate(0)
            file.write(f"{this_process()}\n")
            file.flush()
            yield
        finally:
            lock.unlink(missing_ok=True)  # while it is locked, so that it is nobody else's


def lock_of(target: Path) -> Path:
    """The lock's file unless another is named. Where it is there though ``target`` is complete, its writer is about to
    end or was killed in its last moment; the next writer removes it."""
    return target.with_name(f".{target.name}.lock")


def this_process() -> str:
    """Name of this process for others: "process 12 on node3 since 2026-01-01T10:00:00+00:00"."""
    return f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC).isoformat(timespec='seconds')}"


def open_locked(lock: Path, wait: bool = False) -> TextIO | None:
    """The file ``lock``, locked until it is closed, with the text that its last holder left; None if another process
    has it. The holder removes the file before it closes it."""
    while True:
        with ExitStack() as stack:
            file = stack.enter_context(open(lock, "a+", encoding="utf-8", errors="replace"))
            locked = take_lock(file.fileno(), wait)
            if locked is False:
                return None
            if locked is None:
                _warn_of_no_locks(lock.parent)
                file.truncate(0)  # its holder may still be at work
            file.seek(0)
            with suppress(FileNotFoundError):  # its last holder has removed it meanwhile
                if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                    stack.pop_all()
                    return file


def take_lock(descriptor: int, wait: bool = False) -> bool | None:
    """Whether an open file or folder is this process's alone until it is closed; None on a disk without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True


@functools.cache
def _warn_of_no_locks(folder: Path) -> None:
    logger.warning("%s: this disk has no locks; nothing keeps a second process away", folder)
