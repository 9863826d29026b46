"""The text files and image folders that datasets share: names, tables of numbers, numbered frames."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence as Names
from importlib.resources import files
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from lib.data.datasets.order import is_image, order_frames, shorten
from lib.data.source import Source
from lib.data.types import FrameFiles, NumberedNames

LISTS = "lists"
# So much of a wrong text is shown: a file that is no text may be one long line.
_SHOWN = 60
_NUMBERED = re.compile(r"[0-9]+\.[A-Za-z]+")


def read_names(source: Source, key: str) -> list[str]:
    """The lines of a list file, without empty ones."""
    return [line.strip() for line in source.text(key).splitlines() if line.strip()]


def read_numbers(
    source: Source, key: str, rows: int | None, columns: int, remedy: str = "unpack the sequence again"
) -> np.ndarray:
    """float64 ``[rows, columns]`` of a text file, one row a line, separated by commas, blanks or tabs.

    ``rows`` None takes as many as there are, at least one. Raises ``ValueError`` naming file, line and ``remedy``.
    Parsed by hand: numpy's readers are no faster for a few hundred rows and do not say which line is wrong.
    """
    lines = source.text(key).rstrip().split("\n")
    try:
        table = [list(map(float, line.replace(",", " ").split())) for line in lines]
        whole = set(map(len, table)) == {columns}
    except ValueError:
        whole = False
    if not whole:
        raise _wrong_line(source, key, lines, columns, remedy)
    if rows is not None and len(table) != rows:
        raise ValueError(f"{source.location(key)}: {len(table)} rows, but its sequence needs {rows}; {remedy}")
    return np.array(table, dtype=np.float64)


def read_flags(source: Source, key: str, count: int) -> np.ndarray:
    """bool ``[count]`` of a file of 0 and 1, on one line or one a line, with commas, blanks or tabs between."""
    words = source.text(key).replace(",", " ").split()
    if any(word not in ("0", "1") for word in words):
        wrong = next(word for word in words if word not in ("0", "1"))[:_SHOWN]
        raise ValueError(f"{source.location(key)}: holds {wrong!r}, not only 0 and 1; unpack the sequence again")
    if len(words) != count:
        raise ValueError(
            f"{source.location(key)}: {len(words)} flags, but its sequence needs {count}; unpack the sequence again"
        )
    return np.array([word == "1" for word in words])


def has_area(boxes: np.ndarray) -> np.ndarray:
    """bool ``[N]``: which boxes ``[N, 4]`` xywh are numbers with a width and a height above 0."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)


def list_frames(source: Source, key: str, first: int | None = None) -> FrameFiles:
    """The image files of a folder whose names are numbers, in their order; other files are no frames.

    Raises ``ValueError`` naming the folder if it is missing or has none, and for a frame that is lost or there twice
    (``order_frames``).
    """
    names = [name for name in source.names(key) if _NUMBERED.fullmatch(name) and is_image(name)]
    if not names:
        raise ValueError(
            f"{source.location(key)}: no images (<number>.jpg) in the sequence's folder; unpack the sequence again"
        )
    row = shorten(names)  # nearly always, and of millions of names it spares most of the work
    if not isinstance(row, NumberedNames) or (first is not None and row.first > first):
        row = order_frames(names, source.location(key), first)
    return FrameFiles(source.location(key), row)


def numbered_frames(source: Source, key: str, pattern: str, first: int, count: int) -> FrameFiles:
    """``count`` images of a folder named by a pattern (``%08d.jpg``); the disk is not asked whether they are there."""
    return FrameFiles(source.location(key), NumberedNames(pattern, first, count))


def find_folder(source: Source, keys: Names[str]) -> str:
    """The first of several folders that is there; ``ValueError`` naming them if none is."""
    for key in keys:
        if source.is_folder(key):
            return key
    wanted = " nor ".join(f"{key}/" for key in keys)
    raise ValueError(f"{source.location()}: holds neither {wanted}; check the dataset's path, or unpack it again")


def package_list(name: str) -> str:
    """The text of a list that comes with this package (``lists/<name>``)."""
    return (files("lib.data.datasets") / LISTS / name).read_text(encoding="utf-8")


def stem(name: str) -> str:
    """A file's name without its last suffix."""
    return PurePosixPath(name).stem


def _wrong_line(source: Source, key: str, lines: Names[str], columns: int, remedy: str) -> ValueError:
    """What to say of the first line that is not ``columns`` numbers."""
    number, line = next((n, line) for n, line in enumerate(lines, start=1) if not _is_row(line, columns))
    wanted = "a number" if columns == 1 else f"{columns} numbers"
    return ValueError(f"{source.location(key)}: line {number} is {line.strip()[:_SHOWN]!r}, not {wanted}; {remedy}")


def _is_row(line: str, columns: int) -> bool:
    try:
        return len([float(word) for word in line.replace(",", " ").split()]) == columns
    except ValueError:
        return False


class Listed(NamedTuple):
    """A sequence of a published table: images ``pattern % first`` to ``pattern % last`` of ``folder``, boxes in the
    file ``boxes``; the first ``omit`` images and rows are left out. Paths are relative to the dataset's root."""

    name: str
    folder: str
    pattern: str
    first: int
    last: int
    boxes: str
    omit: int
    object_class: str

    @property
    def meta(self) -> dict[str, str]:
        """What the table says of the target."""
        return {"class": self.object_class} if self.object_class else {}


def package_table(name: str) -> list[Listed]:
    """The sequences of a table that comes with this package, in its order; its keys are pytracking's."""
    return [
        Listed(
            name=entry["name"],
            folder=entry["path"],
            pattern=f"%0{entry['nz']}d.{entry['ext']}",
            first=entry["startFrame"],
            last=entry["endFrame"],
            boxes=entry["anno_path"],
            omit=entry.get("initOmit", 0),
            object_class=entry.get("object_class", ""),
        )
        for entry in json.loads(package_list(name))
    ]
