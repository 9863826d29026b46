"""The text files and image folders that datasets share: names, tables of numbers, numbered frames."""

from __future__ import annotations

import re
from collections.abc import Sequence as Names
from importlib.resources import files
from pathlib import PurePosixPath

import numpy as np

from lib.data.source import Source
from lib.data.types import FrameFiles, NumberedNames

LISTS = "lists"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


def read_names(source: Source, key: str) -> list[str]:
    """The lines of a list file, without empty ones."""
    return [line.strip() for line in source.text(key).splitlines() if line.strip()]


def read_numbers(source: Source, key: str, rows: int | None, columns: int) -> np.ndarray:
    """float64 ``[rows, columns]`` of a text file, one row a line, separated by commas, blanks or tabs.

    ``rows`` None takes as many as there are, at least one. Raises ``ValueError`` naming file and line. Parsed by hand:
    numpy's readers are no faster for a few hundred rows and do not say which line is wrong.
    """
    lines = source.text(key).rstrip().split("\n")
    table = [_numbers(source, key, number, line, columns) for number, line in enumerate(lines, start=1)]
    if rows is not None and len(table) != rows:
        raise ValueError(
            f"{source.location(key)}: {len(table)} rows, but its sequence needs {rows}; unpack the sequence again"
        )
    return np.array(table, dtype=np.float64)


def read_flags(source: Source, key: str, count: int) -> np.ndarray:
    """bool ``[count]`` of a file of 0 and 1, on one line or one a line, with commas, blanks or tabs between."""
    words = source.text(key).replace(",", " ").split()
    if any(word not in ("0", "1") for word in words):
        wrong = next(word for word in words if word not in ("0", "1"))
        raise ValueError(f"{source.location(key)}: holds {wrong!r}, not only 0 and 1; unpack the sequence again")
    if len(words) != count:
        raise ValueError(
            f"{source.location(key)}: {len(words)} flags, but its sequence needs {count}; unpack the sequence again"
        )
    return np.array([word == "1" for word in words])


def has_area(boxes: np.ndarray) -> np.ndarray:
    """bool ``[N]``: which boxes ``[N, 4]`` xywh are numbers with a width and a height above 0."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)


def list_frames(source: Source, key: str, suffixes: Names[str] = (".jpg",)) -> FrameFiles:
    """The image files of a folder whose names are numbers, in their order; other files are no frames.

    Raises ``ValueError`` naming the folder if it is missing or has none.
    """
    numbered = []
    for name in source.names(key):
        stem, dot, suffix = name.rpartition(".")
        if dot + suffix in suffixes and stem.isdecimal():
            numbered.append((int(stem), name))
    if not numbered:
        raise ValueError(
            f"{source.location(key)}: no images (<number>{suffixes[0]}) in the sequence's folder; "
            "unpack the sequence again"
        )
    return FrameFiles(source.location(key), shorten([name for _, name in sorted(numbered)]))


def numbered_frames(source: Source, key: str, pattern: str, first: int, count: int) -> FrameFiles:
    """``count`` images of a folder named by a pattern (``%08d.jpg``); the disk is not asked whether they are there."""
    return FrameFiles(source.location(key), NumberedNames(pattern, first, count))


def shorten(names: list[str]) -> Names[str]:
    """The same names, as ``NumberedNames`` if a pattern gives them."""
    match = re.fullmatch(r"(.*?)(\d+)(\D*)", names[0]) if names else None
    if match is None:
        return names
    head, digits, tail = (part.replace("%", "%%") for part in match.groups())
    for pattern in (f"{head}%0{len(digits)}d{tail}", f"{head}%d{tail}"):
        numbered = NumberedNames(pattern, int(digits), len(names))
        if list(numbered) == names:
            return numbered
    return names


def package_list(name: str) -> str:
    """The text of a list that comes with this package (``lists/<name>``)."""
    return (files("lib.data.datasets") / LISTS / name).read_text(encoding="utf-8")


def stem(name: str) -> str:
    """A file's name without its last suffix."""
    return PurePosixPath(name).stem


def _numbers(source: Source, key: str, number: int, line: str, columns: int) -> list[float]:
    try:
        values = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != columns:
        wanted = "a number" if columns == 1 else f"{columns} numbers"
        raise ValueError(
            f"{source.location(key)}: line {number} is {line.strip()!r}, not {wanted}; unpack the sequence again"
        )
    return values
