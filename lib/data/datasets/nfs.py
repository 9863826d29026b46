"""NfS at 30 frames a second: as pytracking repacked it, or as it was released."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

import numpy as np

from lib.data.datasets.annotations import (
    UNPACK,
    Listed,
    has_area,
    list_frames,
    numbered_frames,
    package_table,
    read_numbers,
    table_names,
)
from lib.data.datasets.record import Benchmark, Dataset, Entry, Spelling
from lib.data.datasets.texts import is_cut, line_error, parse_number, text_lines
from lib.data.stores.source import Source
from lib.data.types import Sequence

# A row of the release: track, x1, y1, x2, y2, frame, lost, occluded, generated, "label".
CORNERS = slice(1, 5)
# Some files of the release have the rows of the video at 240 frames a second.
SURPLUS = 8

logger = logging.getLogger(__name__)


def list_nfs(source: Source, split: str) -> Iterator[Entry]:
    """The 100 sequences in the table's order, with its names (``nfs_Gymnastics``) in both layouts; which is logged.

    Repacked: ``sequences/<name>/%05d.jpg`` and ``anno/nfs_<name>.txt``, whose boxes are x, y, w, h. Released:
    ``<name>/30/<name>/%05d.jpg`` and ``<name>/30/<name>.txt``, whose boxes are corners; as in the got10k toolkit, of
    rows 8 times too many every 8th is taken, and one frame or row too many is left out, both logged. Raises
    ``ValueError`` naming the file.
    """
    repacked = source.is_folder("sequences")
    logger.info("%s: NfS %s", source.location(), "repacked by pytracking" if repacked else "as released (<name>/30)")
    for listed in package_table("nfs30.json"):
        yield Entry(listed.name, partial(_read_repacked if repacked else _read_released, source, listed))


def _read_repacked(source: Source, listed: Listed) -> Sequence:
    boxes = read_numbers(source, listed.boxes, listed.last - listed.first + 1, 4)
    frames = numbered_frames(source, listed.folder, listed.pattern, listed.first, len(boxes))
    return Sequence(listed.name, "nfs", frames, boxes, has_area(boxes), meta=listed.meta)


def _read_released(source: Source, listed: Listed) -> Sequence:
    name = listed.name.removeprefix("nfs_")
    frames = list_frames(source, f"{name}/30/{name}", first=listed.first)
    boxes = _fit(source, f"{name}/30/{name}.txt", len(frames))
    if len(boxes) < len(frames):
        frames = frames[: len(boxes)]
    return Sequence(listed.name, "nfs", frames, boxes, has_area(boxes), meta=listed.meta)


def _fit(source: Source, key: str, frames: int) -> np.ndarray:
    """The boxes of a file of the release, as many as there are frames, or one fewer."""
    boxes = _read_released_boxes(source, key)
    rows = len(boxes)
    if abs(rows / frames - SURPLUS) < 1:
        boxes = boxes[::SURPLUS]
        logger.info("%s: %d rows for %d frames; every %dth is taken", source.location(key), rows, frames, SURPLUS)
    if abs(len(boxes) - frames) > 1:
        raise ValueError(
            f"{source.location(key)}: {rows} rows, but its sequence has {frames} images; unpack the sequence again"
        )
    if len(boxes) != frames:
        logger.info("%s: one row more or fewer than images; the last is left out", source.location(key))
    return boxes[:frames]


def _read_released_boxes(source: Source, key: str) -> np.ndarray:
    """float64 ``[rows, 4]`` xywh of a file of the release."""
    text, file, corners = source.text(key), source.location(key), []
    lines = text_lines(text)
    for number, line in enumerate(lines, start=1):
        try:
            x1, y1, x2, y2 = map(parse_number, line.split()[CORNERS])
        except ValueError as error:
            wrong = "not a number and four corners (id x1 y1 x2 y2 ...)"
            raise line_error(file, number, line, wrong, UNPACK) from error
        corners.append((x1, y1, x2 - x1, y2 - y1))
    if is_cut(text):
        raise line_error(file, len(lines), lines[-1], "cut short", UNPACK)
    if not corners:
        raise ValueError(f"{file}: is empty; {UNPACK}")
    return np.array(corners, dtype=np.float64)


DATASET = Dataset(
    "nfs",
    list_nfs,
    splits=("nfs30",),
    expected={"nfs30": 100},
    names={"nfs30": partial(table_names, "nfs30.json")},
    benchmarks={"nfs": Benchmark("nfs30", "grm")},
    spelling=Spelling("nfs_"),  # nfs_Gymnastics in pytracking's family, Gymnastics in the got10k toolkit and pysot
    folders=("nfs30",),
    partial_folders=True,
)
