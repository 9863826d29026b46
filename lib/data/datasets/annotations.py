"""The text files and image folders that datasets share: names, tables of numbers, numbered frames."""

import json
import logging
import re
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from lib.data.datasets.order import IMAGE_SUFFIXES, order_frames, shorten
from lib.data.files.source import Source, join_key
from lib.data.files.texts import parse_rows, parse_values
from lib.data.types import FrameFiles, NumberedNames, Sequence
from lib.geometry.overlaps import is_box

logger = logging.getLogger(__name__)

UNPACK = "unpack the sequence again"
_NUMBERED = re.compile(rf"[0-9]+({'|'.join(map(re.escape, IMAGE_SUFFIXES))})", re.IGNORECASE | re.ASCII)


def read_names(source: Source, key: str) -> list[str]:
    """The lines of a list file, without empty ones."""
    return [line.strip() for line in source.text(key).splitlines() if line.strip()]


def read_properties(source: Source, key: str, separator: str) -> dict[str, str]:
    """The lines ``name<separator>value`` of a file; none where the file is missing."""
    lines = source.text(key).splitlines() if source.exists(key) else []
    pairs = (line.partition(separator) for line in lines)
    return {name.strip(): value.strip() for name, found, value in pairs if found}


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


def read_labels(source: Source, key: str, count: int | None, most: int = 1) -> np.ndarray:
    """int64 ``[count]`` of a file of whole numbers from 0 to ``most``, on one line or several, with commas, blanks or
    tabs between. ``count`` None takes all of them."""
    values = parse_values(source.text(key), source.location(key), UNPACK)
    wrong = values[values != values.round().clip(0, most)]
    if len(wrong):
        raise ValueError(f"{source.location(key)}: holds {wrong[0]:g}, not only 0 to {most}; {UNPACK}")
    if count is not None and len(values) != count:
        raise ValueError(f"{source.location(key)}: {len(values)} labels, but its sequence needs {count}; {UNPACK}")
    return values.astype(np.int64)


def list_frames(source: Source, key: str, first: int | None = None) -> FrameFiles:
    """The image files of a folder with numbers as names, in their order; other files are no frames.

    Raises ``ValueError`` naming the folder if it is missing or has none, and for a frame that is lost or there twice
    (``order_frames``).
    """
    names = list(filter(_NUMBERED.fullmatch, source.names(key)))
    if not names:
        raise ValueError(f"{source.location(key)}: no images (<number>.jpg) in the sequence's folder; {UNPACK}")
    row = shorten(names)  # nearly always a row, which saves 8 s when GOT-10k is first read
    if not isinstance(row, NumberedNames) or (first is not None and row.first > first):
        row, _ = order_frames(names, source.location(key), first)
    return FrameFiles(source.location(key), row)


def numbered_frames(source: Source, key: str, pattern: str, first: int, count: int) -> FrameFiles:
    """``count`` images of a folder named by a pattern (``%08d.jpg``); the disk is not asked."""
    return FrameFiles(source.location(key), NumberedNames(pattern, first, count))


def list_folders(source: Source, key: str = "") -> list[str]:
    """The names of the folders in a folder, sorted as text."""
    return [name for name in source.names(key) if source.is_folder(join_key(key, name))]


def _package_text(name: str) -> str:
    return (files("lib.data.datasets") / "lists" / name).read_text(encoding="utf-8")


def package_names(name: str) -> list[str]:
    """The names of the sequences of a list (``.txt``) or table (``.json``) of this package; they have no blanks."""
    return [listed.name for listed in package_table(name)] if name.endswith(".json") else _package_text(name).split()


class Listed(NamedTuple):
    """A sequence as most readers and all tables list it: where its files lie, relative to the dataset's root.

    * ``folder``: of its images; all of them, or with ``pattern`` (``%08d.jpg``) those from number ``first`` to ``last``
      (None: as many as there are boxes).
    * ``boxes``: a file with a row for each image, or for each image of its video from number 1 on (logged).
    * ``flags``: files that mark the frames in which the target is absent; ``cover``: a file with its visible eighths.
    * ``object_class``: ``meta["class"]``; ``properties``: a file with lines ``name: value`` of ``meta``, if it exists.
    * ``one_box``: only the first image has a row, and it must have the number ``first``.
    """

    name: str
    folder: str
    boxes: str
    pattern: str = ""
    first: int = 1
    last: int | None = None
    object_class: str = ""
    properties: str = ""
    flags: tuple[str, ...] = ()
    cover: str = ""
    one_box: bool = False


def package_table(name: str) -> list[Listed]:
    """The sequences of a table of this package, in its order."""
    return [Listed(**row) for row in json.loads(_package_text(name))]


def read_listed(source: Source, dataset: str, listed: Listed) -> Sequence:
    """Read a sequence. Its target is visible where it is not absent nor covered and its box has an area."""
    if listed.pattern:
        boxes = _read_range(source, listed)
        frames = numbered_frames(source, listed.folder, listed.pattern, listed.first, len(boxes))
    else:
        frames = list_frames(source, listed.folder, listed.first if listed.one_box else None)
        boxes = read_numbers(source, listed.boxes, 1 if listed.one_box else len(frames), 4)
    visible, absent, cover = is_box(boxes), None, None
    if listed.flags:
        absent = np.any([read_labels(source, key, len(boxes)) for key in listed.flags], axis=0)
        visible &= ~absent
    if listed.cover:
        cover = read_labels(source, listed.cover, len(boxes), most=8)
        visible &= cover > 0
    meta = {"class": listed.object_class} if listed.object_class else {}
    if listed.properties:
        meta |= read_properties(source, listed.properties, ":")
    return Sequence(listed.name, dataset, frames, boxes, visible, cover=cover, absent=absent, meta=meta)


def _read_range(source: Source, listed: Listed) -> np.ndarray:
    boxes = read_numbers(source, listed.boxes, None, 4)
    count = len(boxes) if listed.last is None else listed.last - listed.first + 1
    if len(boxes) not in (count, max(count, listed.last or 0)):
        raise ValueError(
            f"{source.location(listed.boxes)}: {len(boxes)} rows, but {listed.name} needs {count} (frames "
            f"{listed.first} to {listed.last}); {UNPACK}"
        )
    if len(boxes) > count:
        logger.info(
            "%s: one row for each of the video's %d frames; those of frames %d to %d are taken",
            source.location(listed.boxes), len(boxes), listed.first, listed.last,
        )  # fmt: skip
    return boxes[len(boxes) - count :]
