"""Read by Python at its start: a process that finds TORTURE_CHANGE = N kills itself right before the N-th time that it
changes something below the folder TORTURE_PLACE; with N = 0 it notes in the end how many times it did.

A moment in seconds seldom falls between the writing of a file and its renaming; these moments fall nowhere else, and
are the same each time.
"""

import atexit
import os
import signal
import sys
from pathlib import Path

_number, _place = os.environ.pop("TORTURE_CHANGE", ""), os.environ.get("TORTURE_PLACE", "")  # children do not count
_seen = 0


def _count(event: str, arguments: tuple) -> None:
    global _seen
    changing = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")
    if event == "open":
        changing = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if changing and isinstance(arguments[0], (str, os.PathLike)) and os.fspath(arguments[0]).startswith(f"{_place}/"):
        _seen += 1
        if _seen == int(_number):
            os.kill(os.getpid(), signal.SIGKILL)


if _number:
    sys.addaudithook(_count)
if _number == "0":
    atexit.register(lambda: Path(f"{_place}.changes").write_text(str(_seen)))
