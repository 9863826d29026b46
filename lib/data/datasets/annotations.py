"""The text files and image folders that datasets share: names, tables of numbers, numbered frames."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lib.data.types import FrameFiles


def read_names(path: Path) -> list[str]:
    """The lines of a list file, without empty ones."""
    return [line.strip() for line in _read_text(path).splitlines() if line.strip()]


def read_numbers(path: Path, rows: int, columns: int) -> np.ndarray:
    """float64 ``[rows, columns]`` of a text file, one row a line, separated by commas, blanks or tabs.

    Raises ``ValueError`` naming file and line. Parsed by hand: ``np.loadtxt`` takes several times as long.
    """
    lines = _read_text(path).rstrip().split("\n")
    table = [_numbers(path, number, line, columns) for number, line in enumerate(lines, start=1)]
    if len(table) != rows:
        raise ValueError(f"{path}: {len(table)} rows, but its sequence needs {rows}; unpack the sequence again")
    return np.array(table, dtype=np.float64)


def list_frames(folder: Path, suffix: str) -> FrameFiles:
    """The image files of a folder whose names are numbers, in their order; other files are no frames.

    Raises ``ValueError`` naming the folder if it is missing or has none.
    """
    try:
        names = [name for name in os.listdir(folder) if name.endswith(suffix) and name[: -len(suffix)].isdecimal()]
    except OSError as error:
        raise ValueError(f"{folder}: {error.strerror}; it is in list.txt, so unpack the sequence again") from error
    if not names:
        raise ValueError(f"{folder}: no images (<number>{suffix}) in the sequence's folder; unpack the sequence again")
    return FrameFiles(folder, sorted(names, key=lambda name: int(name[: -len(suffix)])))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; check the dataset's path, or unpack it again") from error


def _numbers(path: Path, number: int, line: str, columns: int) -> list[float]:
    try:
        values = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != columns:
        wanted = "a number" if columns == 1 else f"{columns} numbers"
        raise ValueError(f"{path}: line {number} is {line.strip()!r}, not {wanted}; unpack the sequence again")
    return values
