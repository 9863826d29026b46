"""Claims on disk: how processes on any number of machines agree who does what, without a server and without a lock that
a crash would leave for ever."""

from __future__ import annotations

import errno
import functools
import json
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

from lib.runtime.json_text import parse_json

SUFFIX = ".claim"
# A claim counts as left after so long without a sign of life; network file systems may show a sign a minute late
# (acregmax of nfs(5)), and clocks differ.
STALE_SECONDS = 300.0
BEAT_SECONDS = 20.0
PATIENCE_SECONDS = STALE_SECONDS + 60
_GONE = (errno.ENOENT, errno.ESTALE)  # the second is NFS's, for a file that was removed while it was open

logger = logging.getLogger(__name__)


class ClaimError(ValueError):
    """A folder in which nothing can be claimed; the message names the file and the remedy in one line."""


class Death(NamedTuple):
    """A process that ended, or fell silent, without releasing a claim; ``beat`` is its last sign of life, in seconds
    since 1970."""

    process: str
    beat: float


class Holder(NamedTuple):
    """Who has a claim, ``alive`` or not, with its last sign of life, and whom it was taken over from, the earliest
    first."""

    process: str
    token: str
    beat: float
    deaths: tuple[Death, ...]
    alive: bool

    def __str__(self) -> str:
        return f"{self.process} (last sign {max(0.0, time.time() - self.beat):.0f} s ago)"


class Claims:
    """The claims of this process in a folder; at the end of a ``with`` block all that it still holds are released.

    A claim on ``name`` is the file ``<name>.claim``, made with O_EXCL, which NFS (version 3 on) grants to one alone. It
    holds who has it, and its time of change is renewed as long as the holder lives. One whose process is gone (which
    only its own machine can see) or that was not renewed for ``STALE_SECONDS`` is moved aside, looked at once more and
    removed, and the name claimed anew. Two can still come to hold one name: after a sleep of minutes, or where three
    meet while a claim is aside. Then a sequence is tracked twice, which is harmless: a result is written whole, and is
    the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._tokens: dict[str, str] = {}
        self._stop = threading.Event()
        self._beats = threading.Thread(target=self._keep_beating, name="claims", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        if self._beats.ident:
            self._beats.join()
        for name in list(self._tokens):
            self.release(name)

    def take(self, name: str, dead_by: float = math.inf) -> Holder | tuple[Death, ...]:
        """Claim a name: the deaths of those who had it before; or, without waiting, who has it.

        What a dead process has is taken over if its last sign of life was before ``dead_by``. Raises ``ClaimError``
        where the folder cannot be written.
        """
        deaths: tuple[Death, ...] = ()
        while not self._create(name, deaths):
            holder = _read(self._path(name))
            if holder is None:
                continue
            if holder.alive or holder.beat > dead_by:
                return holder
            if self._remove(name, holder):
                deaths = (*holder.deaths, Death(holder.process, holder.beat))
        if not self._beats.ident:
            self._beats.start()
        return deaths

    def release(self, name: str) -> None:
        """Give a claim back. One that was taken over meanwhile is its new holder's to remove."""
        holder, token = _read(self._path(name)), self._tokens.pop(name)
        if holder is not None and holder.token == token:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / (name + SUFFIX)

    def _create(self, name: str, deaths: tuple[Death, ...]) -> bool:
        path, token = self._path(name), uuid4().hex
        since = datetime.now(UTC).isoformat(timespec="seconds")
        content = {
            "process": f"process {os.getpid()} on {socket.gethostname()} since {since}",
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "place": _place(),
            "token": token,
            "deaths": deaths,
        }
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(json.dumps(content) + "\n")
        except FileExistsError:
            return False
        except OSError as error:
            raise _refused(path, error) from error
        self._tokens[name] = token
        return True

    def _remove(self, name: str, left: Holder) -> bool:
        """Remove a claim that was left; False if another has removed it already."""
        path, aside = self._path(name), self.folder / f".{uuid4().hex}{SUFFIX}"
        try:
            os.rename(path, aside)
            found = _read(aside)
            was_left = found is not None and found.token == left.token
            if not was_left:
                with suppress(FileExistsError):  # a third has claimed the name meanwhile
                    os.link(aside, path)
            aside.unlink()
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise _refused(path, error) from error
        return was_left

    def _keep_beating(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            for name in list(self._tokens):
                try:
                    os.utime(self._path(name))
                except OSError as error:
                    if error.errno not in _GONE:
                        logger.warning("%s: cannot be renewed (%s)", self._path(name), error.strerror)


@contextmanager
def holding(folder: Path, name: str) -> Iterator[None]:
    """Hold a name for the length of the block, after whoever has it now: for files that several processes change."""
    name = f".{name}"  # a sequence may bear the file's name, and its claim lasts as long as it is tracked
    until = time.monotonic() + PATIENCE_SECONDS
    with Claims(folder) as claims:
        while isinstance(holder := claims.take(name), Holder):
            if time.monotonic() > until:
                raise ClaimError(f"{folder / (name + SUFFIX)}: held by {holder}; end that process, or remove the file")
            time.sleep(0.02)
        yield


def find_holder(folder: Path, name: str) -> Holder | None:
    """Who has a name in a folder; None if it is free."""
    return _read(folder / (name + SUFFIX))


def release_left(folder: Path, name: str) -> None:
    """Remove the claim of a process that is gone, on a name that nobody needs to claim again."""
    holder = find_holder(folder, name)
    if holder is not None and not holder.alive:
        with Claims(folder) as claims:
            claims.take(name)


def _read(path: Path) -> Holder | None:
    """A claim, None if it is not there. One that is empty (its holder is just writing it, or died doing so) tells
    nothing but when it was made."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            changed = os.fstat(file.fileno())
            text = file.read()
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise _refused(path, error) from error
    beat = changed.st_mtime
    alive = time.time() - beat < STALE_SECONDS
    try:
        content = parse_json(text)
        process, token, deaths = content["process"], content["token"], tuple(Death(*it) for it in content["deaths"])
        pid, started, place = int(content["pid"]), content["started"], content["place"]
    except (ValueError, KeyError, TypeError):
        return Holder("an unknown process", f"{changed.st_mtime_ns:x}", beat, (), alive)
    return Holder(process, token, beat, deaths, alive and not (place == _place() and _has_ended(pid, started)))


@functools.cache
def _place() -> str:
    """What two processes share if and only if one can tell by the other's number whether it lives: the machine, since
    it was started, and the container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _has_ended(pid: int, started: str) -> bool:
    """Whether a process of this machine has ended, even if another one has its number now."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass  # another user's
    return bool(started) and _started(pid) not in (started, "")


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks since its own start (field 22 of proc(5)'s stat); empty where that
    cannot be known. A zombie, which has ended, has no start."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "none" if fields[0] in "ZX" else fields[19]


def _refused(path: Path, error: OSError) -> ClaimError:
    return ClaimError(f"{path}: cannot be read or written ({error.strerror}); mend that and run the same command again")
