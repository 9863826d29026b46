"""OTB100: a folder a sequence, by pytracking's and OSTrack's table of frames and names (``Jogging_1``)."""

import logging
from collections.abc import Iterator
from functools import partial

import numpy as np

from lib.data.datasets.annotations import Listed, has_area, numbered_frames, package_table, read_numbers, table_names
from lib.data.datasets.record import Benchmark, Dataset, Entry, Spelling
from lib.data.files.source import Source
from lib.data.types import Sequence

logger = logging.getLogger(__name__)


def list_otb(source: Source, split: str) -> Iterator[Entry]:
    """The 100 sequences in the table's order.

    Several start late (David at frame 300) or end before their folder does (Football1 at 74). Jogging and Skating2 are
    two sequences each, Human4 has its second target, and Tiger1 begins after its first five frames and rows. Where a
    file has rows for the whole of a video that starts late, those of its frames are taken, which is logged. Raises
    ``ValueError`` naming the file.
    """
    for listed in package_table("otb100.json"):
        yield Entry(listed.name, partial(_read_sequence, source, listed))


def _read_sequence(source: Source, listed: Listed) -> Sequence:
    boxes = _boxes_of_frames(source, listed)
    frames = numbered_frames(source, listed.folder, listed.pattern, listed.first + listed.omit, len(boxes))
    return Sequence(listed.name, "otb", frames, boxes, has_area(boxes), meta=listed.meta)


def _boxes_of_frames(source: Source, listed: Listed) -> np.ndarray:
    """The boxes of frames ``first + omit`` to ``last``; the number of rows shows which frames the file has."""
    boxes = read_numbers(source, listed.boxes, None, 4)
    count = listed.last - listed.first + 1
    if len(boxes) == count:
        return boxes[listed.omit :]
    if len(boxes) == listed.last:
        logger.info(
            "%s: one row for each of the video's %d frames; those of frames %d to %d are taken",
            source.location(listed.boxes), len(boxes), listed.first, listed.last,
        )  # fmt: skip
        return boxes[listed.first - 1 + listed.omit :]
    raise ValueError(
        f"{source.location(listed.boxes)}: {len(boxes)} rows, but {listed.name} needs {count} (frames {listed.first} "
        f"to {listed.last}); unpack the sequence again"
    )


DATASET = Dataset(
    "otb",
    list_otb,
    splits=("otb100",),
    names={"otb100": partial(table_names, "otb100.json")},
    attributes={"otb100": ("otb100.json",)},
    benchmarks={"otb": Benchmark("otb100")},
    # Only GRM has otb_. Jogging_1 is Jogging.1 in the got10k toolkit, which has one target of Human4, and Jogging-1 in
    # pysot.
    spelling=Spelling("otb_", separators=True, aliases=(("Human4", "Human4_2"),)),
    folders=("otb100", "otb2015", "otbtb100"),
    partial_folders=True,
)
