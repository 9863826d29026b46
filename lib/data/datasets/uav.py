"""UAV123 and UAV20L: drone videos, whose parts are sequences."""

import logging
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import Listed, package_table, read_listed, table_names
from lib.data.datasets.record import Benchmark, Dataset, Entry, Spelling
from lib.data.files.source import Source, join_key

# As released; without data_seq or without UAV123 below it; the videos beside anno.
VIDEO_FOLDERS = ("data_seq/UAV123", "data_seq", "UAV123", "")

logger = logging.getLogger(__name__)


def list_uav(source: Source, split: str) -> Iterator[Entry]:
    """The sequences of ``uav123`` (named ``uav_bike1``, as in pytracking's results) or ``uav20l`` (``bike1``, as in the
    got10k toolkit's), in the order of their table.

    Frame numbers are the video's: ``bird1_2`` begins at frame 775 of the folder bird1.
    """
    if split == "uav123":
        return list_videos(source, "uav", split, package_table("uav123.json"), VIDEO_FOLDERS)
    return list_videos(source, "uav", split, package_table("uav20l.json"), (*VIDEO_FOLDERS, "data_seq/UAV20L"))


def list_videos(
    source: Source, dataset: str, split: str, sequences: list[Listed], folders: tuple[str, ...]
) -> Iterator[Entry]:
    """The sequences of a table, whose videos lie in the first of ``folders`` that holds one of them (logged).

    A row of NaN is a frame without a visible target. Raises ``ValueError`` naming the file.
    """
    videos = {sequence.folder for sequence in sequences}
    found = (f for f in folders if source.is_folder(f) and not videos.isdisjoint(source.names(f)))
    folder = next(found, None)
    if folder is None:
        raise ValueError(
            f"{source.location()}: no video of {split} in {', '.join(filter(None, folders))} or beside anno; "
            "unpack the dataset again, or correct its path"
        )
    logger.info("%s: the videos of %s lie in %s", source.location(), split, source.location(folder))
    for sequence in sequences:
        sequence = sequence._replace(folder=join_key(folder, sequence.folder))
        yield Entry(sequence.name, partial(read_listed, source, dataset, sequence))


DATASET = Dataset(
    "uav",
    list_uav,
    splits=("uav123", "uav20l"),
    names={split: partial(table_names, f"{split}.json") for split in ("uav123", "uav20l")},
    attributes={"uav123": ("uav123.json",)},  # those of UAV20L are of other parts of the videos
    benchmarks={"uav": Benchmark("uav123", "grm"), "uav20l": Benchmark("uav20l")},
    spelling=Spelling("uav_"),  # uav_bike1 in pytracking's family, bike1 in the got10k toolkit and pysot
    folders=("uav123",),
    partial_folders=True,
)
