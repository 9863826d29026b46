"""The begin and end of every program: no traceback at Ctrl-C, one line for each fault, an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Protocol

from lib.runtime.stop import Terminated

_ELSEWHERE = "name another folder (output and cache in paths.yaml)"
_RIGHTS = f"give this user the right to write there, or {_ELSEWHERE}"
_ROOM = "make room there, then run the same command again"
_REMEDIES = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOTDIR: _ELSEWHERE,
    errno.EEXIST: _ELSEWHERE,
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
}


@contextmanager
def starting() -> Iterator[None]:
    """For the imports of a program, which take seconds: Ctrl-C within the block ends the process silently with 130.

    A library that the light installation lacks ends it with 1 and one line.

    A standard stream that was closed (``2>&-``) goes to the null device from here on; otherwise the next file that is
    opened would get its number, and with it the text that libraries write to that stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest free number: that of the stream, since those below are open by now.
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # nohup and `&` ignore it
    if handled:
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    try:
        yield
    except ModuleNotFoundError as error:
        sys.exit(f"error: {_missing(error)}")
    finally:
        if handled:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _missing(error: ModuleNotFoundError) -> str:
    """The remedy for a library that is not installed; raises the error again for a module of this project."""
    if error.name is None or error.name.partition(".")[0] == "lib":
        raise error
    install = "pip install -r requirements.txt && pip install --no-deps -e ."
    return f"{error.name} is not installed, which this program needs; {install}"


class RequestError(ValueError):
    """Arguments that exclude each other; the exit code is 2, as for other wrong command lines."""


class Result(Protocol):
    """The result of a program: the text to print, and whether all went well."""

    @property
    def good(self) -> bool:
        """Whether the exit code is 0; otherwise it is 1."""

    def text(self) -> str:
        """The text for stdout; nothing is printed for an empty one."""


@dataclass(frozen=True)
class TextResult:
    """The result of a program that has nothing but a text."""

    message: str = ""
    good: bool = True

    def text(self) -> str:
        """The message."""
        return self.message


def program(stopped: str = "stopped") -> Callable[[Callable[[], Result | int]], Callable[[], int]]:
    """Decorates the ``main`` of a program, which returns a result or an exit code; decorated, it returns the exit code.

    The log goes to stderr. A ``RequestError`` becomes 2, another ``ValueError`` or ``OSError`` 1, with a line for each
    fault, and so do a ``RecursionError``, which a file of too many levels raises, and a library that is missing. Ctrl-C
    becomes 130 and SIGTERM, where it is ``Terminated``, 143, with the exception's message or the line ``stopped``; a
    process that ``lib.runtime.launch`` started leaves that line to its launcher.
    """

    def decorate(main: Callable[[], Result | int]) -> Callable[[], int]:
        @wraps(main)
        def run() -> int:
            # Not above: until ``starting`` has begun, every import is a moment at which Ctrl-C shows a traceback.
            with starting():
                import multiprocessing

                from lib.runtime.escapes import show
                from lib.runtime.logs import set_up_logging
                from lib.runtime.ranks import ranks

            try:
                set_up_logging(rank=ranks().rank)
                try:
                    result = main()
                    code = result if isinstance(result, int) else int(not result.good)
                    if not isinstance(result, int) and (text := result.text()):
                        show(text)
                finally:
                    _flush()
                return code
            except (ValueError, OSError, RecursionError, ModuleNotFoundError) as error:
                show("error: " + _describe(error).replace("\n", "\nerror: "), sys.stderr)
                return 2 if isinstance(error, RequestError) else 1
            except KeyboardInterrupt as stop:
                if multiprocessing.parent_process() is None:
                    show(str(stop) or stopped, sys.stderr)
                return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)

        return run

    return decorate


def _flush() -> None:
    """Print what stdout still holds; where that fails, nothing is printed any more: Python would try again at its end,
    with an exit code of its own."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise


def _describe(error: Exception) -> str:
    """A mistake of the user's, a line for each fault."""
    if isinstance(error, RecursionError):
        return "a file that was read is nested too deeply"
    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    remedy = f"; {_REMEDIES[error.errno]}" if error.errno in _REMEDIES else ""
    return f"{place}{error.strerror}{remedy}"
