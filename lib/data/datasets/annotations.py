"""The text files and image folders that datasets share: names, tables of numbers, numbered frames."""

import json
import logging
import re
from collections import abc
from importlib.resources import files
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from lib.data.datasets.order import is_image, order_frames, shorten
from lib.data.files.source import Source
from lib.data.files.texts import parse_rows, parse_values
from lib.data.types import FrameFiles, NumberedNames, Sequence

logger = logging.getLogger(__name__)

UNPACK = "unpack the sequence again"
_NUMBERED = re.compile(r"[0-9]+\.[A-Za-z]+")


def read_names(source: Source, key: str) -> list[str]:
    """The lines of a list file, without empty ones."""
    return [line.strip() for line in source.text(key).splitlines() if line.strip()]


def read_numbers(source: Source, key: str, rows: int | None, columns: int, remedy: str = UNPACK) -> np.ndarray:
    """float64 ``[rows, columns]`` of a text file, one row a line, read by ``lib.data.files.texts``.

    ``rows`` None takes all rows, at least one. Raises ``ValueError`` naming file, line and ``remedy``.
    """
    table = parse_rows(source.text(key), columns, source.location(key), remedy)
    if len(table) == 0:
        raise ValueError(f"{source.location(key)}: is empty; {remedy}")
    if rows is not None and len(table) != rows:
        raise ValueError(f"{source.location(key)}: {len(table)} rows, but its sequence needs {rows}; {remedy}")
    return table


def read_flags(source: Source, key: str, count: int) -> np.ndarray:
    """bool ``[count]`` of a file of 0 and 1, on one line or several, with commas, blanks or tabs between."""
    values = parse_values(source.text(key), source.location(key), UNPACK)
    wrong = values[~np.isin(values, (0, 1))]
    if len(wrong):
        raise ValueError(f"{source.location(key)}: holds {wrong[0]:g}, not only 0 and 1; {UNPACK}")
    if len(values) != count:
        raise ValueError(f"{source.location(key)}: {len(values)} flags, but its sequence needs {count}; {UNPACK}")
    return values == 1


def has_area(boxes: np.ndarray) -> np.ndarray:
    """bool ``[N]``: which boxes ``[N, 4]`` xywh are finite, with a width and a height above 0."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)


def list_frames(source: Source, key: str, first: int | None = None) -> FrameFiles:
    """The image files of a folder with numbers as names, in their order; other files are no frames.

    Raises ``ValueError`` naming the folder if it is missing or has none, and for a frame that is lost or there twice
    (``order_frames``).
    """
    names = [name for name in source.names(key) if _NUMBERED.fullmatch(name) and is_image(name)]
    if not names:
        raise ValueError(f"{source.location(key)}: no images (<number>.jpg) in the sequence's folder; {UNPACK}")
    row = shorten(names)  # nearly always a row of numbers, which needs no further work
    if not isinstance(row, NumberedNames) or (first is not None and row.first > first):
        row = order_frames(names, source.location(key), first)
    return FrameFiles(source.location(key), row)


def numbered_frames(source: Source, key: str, pattern: str, first: int, count: int) -> FrameFiles:
    """``count`` images of a folder named by a pattern (``%08d.jpg``); the disk is not asked."""
    return FrameFiles(source.location(key), NumberedNames(pattern, first, count))


def read_folder(source: Source, dataset: str, name: str, images: str, boxes_file: str) -> Sequence:
    """A sequence of all images of a folder and a file with a row for each."""
    frames = list_frames(source, images)
    boxes = read_numbers(source, boxes_file, len(frames), 4)
    return Sequence(name, dataset, frames, boxes, has_area(boxes))


def find_folder(source: Source, keys: abc.Sequence[str]) -> str:
    """The first of several folders that exists; ``ValueError`` naming them if none does."""
    for key in keys:
        if source.is_folder(key):
            return key
    wanted = " nor ".join(f"{key}/" for key in keys)
    raise ValueError(f"{source.location()}: holds neither {wanted}; check the dataset's path, or unpack it again")


def package_list(name: str) -> str:
    """The text of a list of this package (``lists/<name>``)."""
    return (files("lib.data.datasets") / "lists" / name).read_text(encoding="utf-8")


def package_names(name: str) -> list[str]:
    """The words of a list of this package: names of sequences, which have no blanks."""
    return package_list(name).split()


def warn_unofficial(names: abc.Sequence[str], official: abc.Sequence[str], split: str, place: object) -> None:
    """Log how the sequences that ``place`` lists differ from the official ones of a split."""
    missing, others = sorted(set(official) - set(names)), sorted(set(names) - set(official))
    if missing or others:
        logger.warning(
            "%s: not the official %s of %d sequences: %d are missing%s, %d are not of it%s",
            place, split, len(official), len(missing), _examples(missing), len(others), _examples(others),
        )  # fmt: skip


def _examples(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def stem(name: str) -> str:
    """A file's name without its last suffix."""
    return PurePosixPath(name).stem


class Listed(NamedTuple):
    """A sequence of a published table: images ``pattern % first`` to ``pattern % last`` of ``folder``, boxes in the
    file ``boxes``; the first ``omit`` images and rows are left out. Paths are relative to the dataset's root."""

    name: str
    folder: str
    pattern: str
    first: int
    last: int
    boxes: str
    omit: int = 0
    object_class: str = ""

    @property
    def meta(self) -> dict[str, str]:
        """``meta`` of its ``Sequence``."""
        return {"class": self.object_class} if self.object_class else {}


def package_table(name: str) -> list[Listed]:
    """The sequences of a table of this package, in its order."""
    return [Listed(**row) for row in json.loads(package_list(name))]


def table_names(name: str) -> list[str]:
    """The names of the sequences of a table of this package."""
    return [listed.name for listed in package_table(name)]


def read_listed(source: Source, dataset: str, listed: Listed) -> Sequence:
    """A sequence of a table, whose file of boxes has a row for each of its frames."""
    boxes = read_numbers(source, listed.boxes, listed.last - listed.first + 1, 4)
    frames = numbered_frames(source, listed.folder, listed.pattern, listed.first, len(boxes))
    return Sequence(listed.name, dataset, frames, boxes, has_area(boxes), meta=listed.meta)
