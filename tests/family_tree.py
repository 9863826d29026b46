"""Which processes of this machine come from one, and whether they live: for tests that kill it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_MARK = "TEST_FAMILY"


@contextmanager
def family() -> "Iterator[tuple[dict[str, str], Family]]":
    """A variable for the environment of a process, and what is known of it and of all that come from it; those that are
    left at the end are killed."""
    mark = uuid4().hex
    members = Family(mark)
    try:
        yield {_MARK: mark}, members
    finally:
        for process in members.alive():
            os.kill(process, 9)


class Family:
    """Processes with one mark in their environment, which children inherit whoever their parent is by number."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{_MARK}={mark}".encode()

    def alive(self) -> dict[int, str]:
        """Number and command line of each that runs."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found

    def await_count(self, least: int, seconds: float = 60) -> dict[int, str]:
        """Those that run, once they are so many."""
        until = time.monotonic() + seconds
        while len(found := self.alive()) < least:
            assert time.monotonic() < until, found
            time.sleep(0.05)
        return found

    def await_end(self, seconds: float = 20) -> None:
        """Returns when none is left."""
        until = time.monotonic() + seconds
        while found := self.alive():
            assert time.monotonic() < until, found
            time.sleep(0.05)
