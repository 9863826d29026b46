"""UAV123 at 10 frames a second: every third frame of UAV123's videos, with folders of its own."""

from collections.abc import Iterator

from lib.data.datasets.annotations import Listed, package_table
from lib.data.datasets.record import Benchmark, Dataset, Entry, Spelling
from lib.data.datasets.uav import list_videos
from lib.data.files.source import Source


def list_uav123_10fps(source: Source, split: str) -> Iterator[Entry]:
    """The 123 sequences in UAV123's order, named ``bike1`` as their files are.

    ``data_seq/UAV123_10fps/<video>/%06d.jpg`` and ``anno/UAV123_10fps/<sequence>.txt`` with a row for each frame of the
    sequence.
    """
    return list_videos(source, "uav123_10fps", split, _table(), ("data_seq/UAV123_10fps", "data_seq", ""))


def _table() -> list[Listed]:
    """UAV123's table; frame n of its videos is frame (n - 1) / 3 + 1 here, as in the release's configSeqs.m."""
    table = package_table("uav123.json")
    names = [listed.name.removeprefix("uav_") for listed in table]
    return [
        listed._replace(
            name=name,
            first=(listed.first - 1) // 3 + 1,
            last=(listed.last - 1) // 3 + 1,
            boxes=f"anno/UAV123_10fps/{name}.txt",
        )
        for name, listed in zip(names, table, strict=True)
    ]


def _names() -> list[str]:
    return [listed.name for listed in _table()]


DATASET = Dataset(
    "uav123_10fps",
    list_uav123_10fps,
    splits=("test",),
    names={"test": _names},
    benchmarks={"uav123_10fps": Benchmark("test")},
    spelling=Spelling("uav10fps_"),
    folders=("uav10fps",),
    partial_folders=True,
)
