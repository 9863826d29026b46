"""UAV123, UAV20L, and UAV123 at 10 frames a second: drone videos, whose parts are sequences."""

import logging
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import Listed, package_names, package_table
from lib.data.datasets.record import Benchmark, Dataset, Spelling
from lib.data.files.source import Source, join_key

# As released; without data_seq or without UAV123 below it; the videos beside anno.
VIDEO_FOLDERS = ("data_seq/UAV123", "data_seq", "UAV123", "")

logger = logging.getLogger(__name__)


def list_uav(source: Source, split: str) -> Iterator[Listed]:
    """The sequences of ``uav123`` (named ``uav_bike1``, as in pytracking's results) or ``uav20l`` (``bike1``, as in the
    got10k toolkit's), in the order of their table.

    Frame numbers are the video's: ``bird1_2`` begins at frame 775 of the folder bird1. A row of NaN is a frame without
    a visible target.
    """
    folders = VIDEO_FOLDERS if split == "uav123" else (*VIDEO_FOLDERS, "data_seq/UAV20L")
    return _list_videos(source, split, package_table(f"{split}.json"), folders)


def list_uav123_10fps(source: Source, split: str) -> Iterator[Listed]:
    """The 123 sequences in UAV123's order, named ``bike1`` as their files are.

    ``data_seq/UAV123_10fps/<video>/%06d.jpg`` and ``anno/UAV123_10fps/<sequence>.txt`` with a row for each frame of the
    sequence.
    """
    return _list_videos(source, split, _table_10fps(), ("data_seq/UAV123_10fps", "data_seq", ""))


def _table_10fps() -> list[Listed]:
    """UAV123's table; frame n of its videos is frame (n - 1) / 3 + 1 here, as in the release's configSeqs.m."""
    return [
        listed._replace(
            name=listed.name.removeprefix("uav_"),
            first=(listed.first - 1) // 3 + 1,
            last=(listed.last - 1) // 3 + 1,
            boxes=listed.boxes.replace("UAV123", "UAV123_10fps"),
        )
        for listed in package_table("uav123.json")
    ]


def _list_videos(source: Source, split: str, table: list[Listed], folders: tuple[str, ...]) -> Iterator[Listed]:
    """The sequences of a table, whose videos lie in the first of ``folders`` that holds one of them (logged)."""
    videos = {listed.folder for listed in table}
    found = (f for f in folders if source.is_folder(f) and not videos.isdisjoint(source.names(f)))
    folder = next(found, None)
    if folder is None:
        return
    logger.info("%s: the videos of %s lie in %s", source.location(), split, source.location(folder))
    for listed in table:
        yield listed._replace(folder=join_key(folder, listed.folder))


DATASET = Dataset(
    "uav",
    list_uav,
    splits=("uav123", "uav20l"),
    names={split: partial(package_names, f"{split}.json") for split in ("uav123", "uav20l")},
    attributes={"uav123": ("uav123.json",)},  # those of UAV20L are of other parts of the videos
    benchmarks={"uav": Benchmark("uav123", "grm"), "uav20l": Benchmark("uav20l")},
    spelling=Spelling("uav_"),  # uav_bike1 in pytracking's family, bike1 in the got10k toolkit and pysot
    folders=("uav123",),
    partial_folders=True,
)
UAV123_10FPS = Dataset(
    "uav123_10fps",
    list_uav123_10fps,
    splits=("test",),
    names={"test": lambda: [listed.name for listed in _table_10fps()]},
    benchmarks={"uav123_10fps": Benchmark("test")},
    spelling=Spelling("uav10fps_"),
    folders=("uav10fps",),
    partial_folders=True,
)
