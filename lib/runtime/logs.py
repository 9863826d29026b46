"""Logs: messages for people, and lines of JSON for programs that plot."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import replacing
from lib.runtime.json_text import parse_json, plain


class _AboveBar(logging.Handler):
    """Writes to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except OSError:
            self.handleError(record)


class _Printable(logging.Formatter):
    """Prints a message as one line, whatever names it holds; a traceback below it keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging calls
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record).split("\n"))


def set_up_logging(rank: int = 0) -> None:
    """Sends this project's messages to stderr, those of processes other than rank 0 only if they are warnings.

    Calling it again replaces what an earlier call set up.
    """
    handler = _AboveBar()
    prefix = f"[process {rank}] " if rank else ""
    handler.setFormatter(_Printable(f"%(asctime)s {prefix}%(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger("lib")
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING if rank else logging.INFO)
    root.propagate = False


def append_json_line(path: Path, record: dict[str, Any]) -> None:
    """Appends a record to a file as a line of JSON; NaN and infinity become null. ``OSError`` names the file when the
    disk refuses."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(record), allow_nan=False) + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def cut_json_lines(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Drops the records for which ``keep`` is false or lacks a key, and unfinished lines of a killed process. A missing
    file is no error."""
    if not path.is_file():
        return

    def is_kept(line: str) -> bool:
        try:
            return line.endswith("\n") and keep(parse_json(line))
        except (ValueError, KeyError, TypeError):
            return False

    with open(path, encoding="utf-8", errors="replace") as file:
        kept = list(filter(is_kept, file))
    with replacing(path) as file:
        file.write("".join(kept).encode())
