"""Claims on disk: how commands on any number of machines agree who does what, without a server and without a lock that
a crash would leave for ever."""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

SUFFIX = ".claim"
# A claim of another machine counts as left after so long without a sign of life; network file systems may show a sign
# a minute late (acregmax of nfs(5)).
STALE_SECONDS = 300.0
BEAT_SECONDS = 20.0
_GONE = (errno.ENOENT, errno.ESTALE)  # the second is how NFS says that a file was removed while it was open
_HELD: set[str] = set()  # tokens of this process: a claim that bears its number but none of these was left by a slip

logger = logging.getLogger(__name__)


class ClaimError(ValueError):
    """A folder in which nothing can be claimed; the message names the file and the remedy in one line."""


class Holder(NamedTuple):
    """Who holds, or held, a claim: process ``pid`` of ``host`` since a moment (ISO 8601, UTC). ``beat`` is the last
    sign of life, ``silent`` how many seconds ago that was."""

    host: str
    pid: int
    since: str
    beat: float
    silent: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} (last sign {self.silent:.0f} s ago)"


@dataclass(frozen=True)
class Claim:
    """A name that this process holds. ``left`` are those whom it was taken over from, the earliest first: they ended,
    or fell silent, without releasing it."""

    name: str
    path: Path
    token: str
    left: tuple[_Found, ...]


class _Found(NamedTuple):
    """A claim as it is read from its file."""

    path: Path
    token: str
    place: str
    started: str
    holder: Holder


class Claims:
    """The claims of this process in a folder; at the end of a ``with`` block all that it still holds are released.

    A claim on ``name`` is the file ``<name>.claim``, made with O_EXCL, which NFS (version 3 on) grants to one alone. It
    says who holds it, and its time of change is renewed as long as the holder lives. One whose process is gone (on
    this machine) or that was not renewed for ``STALE_SECONDS`` (on another) is taken over: not removed, which two might
    do, the later one removing the other's new claim, but followed by ``<name>.claim.<its token>``, made with O_EXCL
    too. Whoever holds the last of such a chain holds the name, and removes the chain from its beginning.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._held: dict[str, Claim] = {}
        self._stop = threading.Event()
        self._beats: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        if self._beats:
            self._beats.join()
        for claim in list(self._held.values()):
            self.release(claim)

    def take(self, name: str) -> Claim | Holder:
        """Claim a name, or say who holds it; does not wait. ``ClaimError`` where the folder cannot be written."""
        while True:
            claim = self._try(name)
            if claim is not None:
                return claim

    def names(self) -> set[str]:
        """The names that are claimed, by anyone alive or not."""
        try:
            return {entry.removesuffix(SUFFIX) for entry in os.listdir(self.folder) if entry.endswith(SUFFIX)}
        except OSError as error:
            raise _refused(self.folder, error) from error

    def holds(self, claim: Claim) -> bool:
        """Whether a claim is still this process's: after a long sleep it may have been taken over."""
        found = self._read(claim.path)
        return (
            found is not None
            and found.token == claim.token
            and self._leads_from(claim)
            and not _follower(claim.name, self.folder, claim.token).exists()
        )

    def release(self, claim: Claim) -> None:
        """Give a claim back. One that was taken over meanwhile is its new holder's to remove."""
        try:
            if self.holds(claim):
                for path in (*(found.path for found in claim.left), claim.path):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise _refused(claim.path, error) from error
        finally:
            self._held.pop(claim.token, None)
            _HELD.discard(claim.token)

    def now(self) -> float:
        """The time by the clock of the folder's file system, to compare with times of change."""
        stamp, read = self._clock
        return stamp + time.monotonic() - read

    @functools.cached_property
    def _clock(self) -> tuple[float, float]:
        """A time of change and when it was read, by the monotonic clock."""
        probe = self.folder / f".clock-{uuid4().hex}"
        try:
            probe.touch()
            stamp = probe.stat().st_mtime
            probe.unlink()
        except OSError as error:
            raise _refused(probe, error) from error
        return stamp, time.monotonic()

    def _try(self, name: str) -> Claim | Holder | None:
        """One attempt; None if the chain of claims changed meanwhile."""
        left: list[_Found] = []
        path = self.folder / (name + SUFFIX)
        while True:
            token = uuid4().hex
            _HELD.add(token)
            if self._create(path, token):
                claim = Claim(name, path, token, tuple(left))
                if not self._leads_from(claim):  # whoever had taken it over has released it all meanwhile
                    path.unlink(missing_ok=True)
                    _HELD.discard(token)
                    return None
                self._held[token] = claim
                self._beat()
                return claim
            _HELD.discard(token)
            found = self._read(path)
            if found is None:
                return None
            if self._lives(found):
                return found.holder
            left.append(found)
            path = _follower(name, self.folder, found.token)

    def _create(self, path: Path, token: str) -> bool:
        content = {
            "token": token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "place": _place(),
            "started": _started(os.getpid()),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(json.dumps(content) + "\n")
        except FileExistsError:
            return False
        except OSError as error:
            raise _refused(path, error) from error
        return True

    def _read(self, path: Path) -> _Found | None:
        """A claim, None if it is not there. One that is empty (its holder is just writing it, or died doing so) bears
        no name but the time it was made."""
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                beat = os.fstat(file.fileno())
                text = file.read()
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise _refused(path, error) from error
        try:
            content = json.loads(text)
            values = [str(content[key]) for key in ("token", "place", "started", "host")]
            pid, since = int(content["pid"]), str(content["since"])
        except (ValueError, KeyError, TypeError):
            values, pid, since = [f"{beat.st_mtime_ns:x}", "", "", "an unknown machine"], 0, "an unknown time"
        token, place, started, host = values
        holder = Holder(host, pid, since, beat.st_mtime, max(0.0, self.now() - beat.st_mtime))
        return _Found(path, token, place, started, holder)

    def _lives(self, found: _Found) -> bool:
        if found.place == _place() and found.holder.pid > 0:
            if found.holder.pid == os.getpid():
                return found.token in _HELD
            started = _started(found.holder.pid)
            if started is None:
                return False
            if started and found.started:
                return started == found.started  # another process may have got the number since
        return found.holder.silent < STALE_SECONDS

    def _leads_from(self, claim: Claim) -> bool:
        """Whether the chain that a claim ends still begins where it began; it is always removed from there."""
        if not claim.left:
            return True
        first = self._read(claim.left[0].path)
        return first is not None and first.token == claim.left[0].token

    def _beat(self) -> None:
        if self._beats is None:
            self._beats = threading.Thread(target=self._keep_beating, name="claims", daemon=True)
            self._beats.start()

    def _keep_beating(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            for claim in list(self._held.values()):
                try:
                    os.utime(claim.path)  # without a time of our own: the file system's clock counts
                except OSError as error:
                    if error.errno not in _GONE:
                        logger.warning("%s: cannot be renewed (%s)", claim.path, error.strerror)


@contextmanager
def holding(folder: Path, name: str) -> Iterator[None]:
    """Hold a name for the length of the block, after whoever has it now: for files that several commands change."""
    until = time.monotonic() + STALE_SECONDS + 60
    with Claims(folder) as claims:
        while isinstance(found := claims.take(name), Holder):
            if time.monotonic() > until:
                raise ClaimError(f"{folder / (name + SUFFIX)}: held by {found}; end that process, or remove the file")
            time.sleep(0.02)
        yield


def _follower(name: str, folder: Path, token: str) -> Path:
    return folder / f"{name}{SUFFIX}.{token}"


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


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks since its own start (field 22 of proc(5)'s stat); empty where that
    cannot be known, None if there is no such process."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass  # another user's
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return None if fields[0] in "ZX" else fields[19]  # a zombie has ended, whoever should have asked for its code


def _refused(path: Path, error: OSError) -> ClaimError:
    return ClaimError(f"{path}: cannot be written ({error.strerror}); mend that and run the same command again")
