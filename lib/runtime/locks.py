"""A lock on what one process alone may write: the output folder of a run, a dataset that is packed, an export."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

logger = logging.getLogger(__name__)


class LockedError(ValueError):
    """Another process writes there; the message names the place, the host and the process."""


@contextmanager
def only_writer(target: Path, lock: Path | None = None, remedy: str = "wait for it, or end it") -> Iterator[None]:
    """Keeps other processes from writing ``target`` for the length of the block. Raises ``LockedError`` at once if
    another one is in such a block.

    The lock is flock(2) on the file ``lock``, by default ``.<name>.lock`` beside ``target``. The kernel releases it
    when the process ends, however it ends, so a file that a killed process left locks nothing. Containers of a machine
    share it, and so do machines where the network file system passes flock on: NFS does since Linux 2.6.12 unless it is
    mounted with ``local_lock``, Lustre with ``flock``. On a disk without flock a warning says that nothing is locked.
    """
    lock = lock or lock_of(target)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _open_locked(target, lock, remedy) as file:
        try:
            file.truncate(0)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
            file.flush()
            yield
        finally:
            lock.unlink(missing_ok=True)  # before it is released: whoever opens it meanwhile looks once more


def lock_of(target: Path) -> Path:
    """The lock's file unless another is named. Where it is there though ``target`` is complete, its writer is about to
    end or was killed in its last moment; the next writer removes it."""
    return target.with_name(f".{target.name}.lock")


def _open_locked(target: Path, lock: Path, remedy: str) -> TextIO:
    while True:
        file = open(lock, "a+", encoding="utf-8")  # noqa: SIM115 - the caller closes it
        try:
            locked = take_lock(file.fileno())
        except OSError:
            file.close()
            raise
        if locked is None:
            logger.warning("%s: this disk has no locks; nothing keeps a second process away", target)
        if locked is False:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise LockedError(f"{target}: {holder} is writing it; {remedy}")
        if _is_at(file, lock):
            return file
        file.close()  # its last holder has removed it meanwhile


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


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
