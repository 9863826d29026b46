"""NfS at 30 frames a second: as pytracking repacked it, or as it was released."""

import logging
from collections.abc import Iterator
from functools import partial

import numpy as np

from lib.data.datasets.annotations import UNPACK, Listed, list_frames, package_names, package_table
from lib.data.datasets.record import Benchmark, Dataset, Entry, Spelling
from lib.data.files.source import Source
from lib.data.files.texts import parse_lines, parse_number, refuse_cut
from lib.data.types import Sequence
from lib.geometry.overlaps import is_box

# Some files of the release have the rows of the video at 240 frames a second.
SURPLUS = 8

logger = logging.getLogger(__name__)


def list_nfs(source: Source, split: str) -> Iterator[Entry | Listed]:
    """The 100 sequences in the table's order, with its names (``nfs_Gymnastics``) in both layouts; which is logged.

    Repacked: ``sequences/<name>/%05d.jpg`` and ``anno/nfs_<name>.txt``, whose boxes are x, y, w, h. Released:
    ``<name>/30/<name>/%05d.jpg`` and ``<name>/30/<name>.txt``, whose boxes are corners. As in the got10k toolkit, every
    8th of 8 times too many rows is taken, and one frame or row too many is left out; both are logged.
    """
    repacked = source.is_folder("sequences")
    logger.info("%s: NfS %s", source.location(), "repacked by pytracking" if repacked else "as released (<name>/30)")
    for listed in package_table("nfs30.json"):
        yield listed if repacked else Entry(listed.name, partial(_read_released, source, listed))


def _read_released(source: Source, listed: Listed) -> Sequence:
    name = listed.name.removeprefix("nfs_")
    frames = list_frames(source, f"{name}/30/{name}", first=listed.first)
    text, file = source.text(f"{name}/30/{name}.txt"), source.location(f"{name}/30/{name}.txt")
    rows = parse_lines(text, _corner_box, "a number and four corners (id x1 y1 x2 y2 ...)", file, UNPACK)
    refuse_cut(text, file, UNPACK)
    boxes = np.reshape(rows, (-1, 4))
    if abs(len(rows) / len(frames) - SURPLUS) < 1:
        boxes = boxes[::SURPLUS]
        logger.info("%s: %d rows for %d frames; every %dth is taken", file, len(rows), len(frames), SURPLUS)
    if not rows or abs(len(boxes) - len(frames)) > 1:
        raise ValueError(f"{file}: {len(rows)} rows, but its sequence has {len(frames)} images; {UNPACK}")
    if len(boxes) != len(frames):
        logger.info("%s: one row more or fewer than images; the last is left out", file)
        count = min(len(boxes), len(frames))
        boxes, frames = boxes[:count], frames[:count]
    return Sequence(listed.name, "nfs", frames, boxes, is_box(boxes), meta={"class": listed.object_class})


def _corner_box(line: str) -> tuple[float, float, float, float]:
    """The box xywh of a row of the release: track, x1, y1, x2, y2, frame, flags and a label."""
    x1, y1, x2, y2 = map(parse_number, line.split()[1:5])
    return x1, y1, x2 - x1, y2 - y1


DATASET = Dataset(
    "nfs",
    list_nfs,
    splits=("nfs30",),
    names={"nfs30": partial(package_names, "nfs30.json")},
    benchmarks={"nfs": Benchmark("nfs30", "grm")},
    spelling=Spelling("nfs_"),  # nfs_Gymnastics in pytracking's family, Gymnastics in the got10k toolkit and pysot
    folders=("nfs30",),
    partial_folders=True,
)
