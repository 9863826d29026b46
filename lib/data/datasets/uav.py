"""UAV123 and UAV20L: drone videos, of which several sequences may be parts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import (
    Listed,
    has_area,
    numbered_frames,
    package_list,
    package_table,
    read_numbers,
)
from lib.data.datasets.entry import Entry, check_split
from lib.data.stores.source import Source
from lib.data.types import Sequence

SPLITS = ("uav123", "uav20l")
PUBLISHED = "data_seq/UAV123"
# As released; without data_seq or without UAV123 below it; the videos beside anno; a copy for UAV20L alone.
IMAGE_FOLDERS = {
    "uav123": (PUBLISHED, "data_seq", "UAV123", ""),
    "uav20l": (PUBLISHED, "data_seq", "UAV123", "", "data_seq/UAV20L"),
}

logger = logging.getLogger(__name__)


def list_uav(source: Source, split: str) -> Iterator[Entry]:
    """The sequences of ``uav123`` (named ``uav_bike1``, as pytracking's results are) or ``uav20l`` (``bike1``, as the
    got10k toolkit's are), in their table's order.

    Frame numbers are those of the video, so ``bird1_2`` begins at frame 775 of the folder bird1. Rows of NaN are frames
    without a visible target. Which of the known folders holds the videos is logged. Raises ``ValueError`` naming the
    file.
    """
    check_split("uav", split, SPLITS)
    listed = package_table("uav123.json") if split == "uav123" else _uav20l()
    folder = _find_videos(source, split, listed)
    for sequence in listed:
        video = "/".join(filter(None, (folder, sequence.folder.removeprefix(f"{PUBLISHED}/"))))
        yield Entry(sequence.name, partial(_read_sequence, source, sequence, video))


def _uav20l() -> list[Listed]:
    """The got10k toolkit's table of UAV20L, in the form of the other tables."""
    return [
        Listed(
            name, f"{PUBLISHED}/{at['folder_name']}", "%06d.jpg", at["start_frame"], at["end_frame"],
            f"anno/UAV20L/{name}.txt", omit=0, object_class="",
        )
        for name, at in json.loads(package_list("uav20l.json")).items()
    ]  # fmt: skip


def _find_videos(source: Source, split: str, listed: list[Listed]) -> str:
    """The key of the folder that holds the videos' folders."""
    videos = {sequence.folder.removeprefix(f"{PUBLISHED}/") for sequence in listed}
    for folder in IMAGE_FOLDERS[split]:
        if source.is_folder(folder) and not videos.isdisjoint(source.names(folder)):
            logger.info("%s: the videos of %s lie in %s", source.location(), split, source.location(folder))
            return folder
    raise ValueError(
        f"{source.location()}: no video of {split} in {', '.join(filter(None, IMAGE_FOLDERS[split]))} or beside anno; "
        "unpack the dataset again, or correct its path"
    )


def _read_sequence(source: Source, listed: Listed, video: str) -> Sequence:
    count = listed.last - listed.first + 1
    boxes = read_numbers(source, listed.boxes, count, 4)
    frames = numbered_frames(source, video, listed.pattern, listed.first, count)
    return Sequence(listed.name, "uav", frames, boxes, has_area(boxes), meta=listed.meta)
