"""Claims: which process tracks which sequence, agreed on by locked files in the folder of the results."""

import math
import os
from contextlib import suppress
from pathlib import Path
from time import time
from typing import NamedTuple, Self, TextIO

from lib.runtime.locks import open_locked, take_lock, this_process

SUFFIX = ".claim"


class Death(NamedTuple):
    """A process that ended without releasing a claim, and when it had claimed, in seconds since 1970."""

    process: str
    claimed: float


class Claims:
    """The claims of this process in a folder; the end of a ``with`` block releases all that it still holds.

    A claim on ``name`` is a lock on the file ``<name>.claim`` (``lib.runtime.locks``), in which each holder has a line:
    the time in seconds since 1970 and its process. A file without a lock was left by a process that died.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, TextIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for name in list(self._files):
            self.release(name)

    def take(self, name: str, dead_by: float = math.inf) -> tuple[Death, ...] | None:
        """Claim a name: the processes that died with it, the earliest first; None if another process has it, or if the
        last one that died had claimed it after ``dead_by``."""
        file = open_locked(_path(self.folder, name))
        if file is None:
            return None
        deaths = _read(file)
        if deaths and deaths[-1].claimed > dead_by:
            file.close()
            return None
        self._files[name] = file
        try:
            os.write(file.fileno(), f"{time()} {this_process()}\n".encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror, file.name) from error
        return deaths

    def release(self, name: str) -> None:
        """Give a claim back."""
        with self._files.pop(name):
            _path(self.folder, name).unlink(missing_ok=True)


def find_holder(folder: Path, name: str) -> str | None:
    """The living process that has a name in a folder; None if it is free."""
    try:
        with open(_path(folder, name), encoding="utf-8", errors="replace") as file:
            held = take_lock(file.fileno()) is False
            holders = _read(file)
    except FileNotFoundError:
        return None
    return (holders[-1].process if holders else "another process") if held else None


def release_left(folder: Path, name: str) -> None:
    """Remove the claim that a dead process left on a finished name, if any."""
    if _path(folder, name).exists():
        with Claims(folder) as claims:
            claims.take(name)


def _path(folder: Path, name: str) -> Path:
    return folder / (name + SUFFIX)


def _read(file: TextIO) -> tuple[Death, ...]:
    """The holders in a claim's file, the earliest first, without one that died before it had signed."""
    holders = []
    for line in file:
        claimed, _, process = line.strip().partition(" ")
        with suppress(ValueError):
            holders.append(Death(process, float(claimed)))
    return tuple(holders)
