"""DTB70: 70 drone videos, a folder a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import has_area, list_frames, read_numbers
from lib.data.datasets.record import Benchmark, Dataset, Entry
from lib.data.stores.source import Source
from lib.data.types import Sequence

BOXES = "groundtruth_rect.txt"


def list_dtb70(source: Source, split: str) -> Iterator[Entry]:
    """The folders with ``img/`` or ``groundtruth_rect.txt``, by name; each needs both, with a row for each image.

    Raises ``ValueError`` naming the file.
    """
    names = [
        name
        for name in source.names()
        if source.exists(f"{name}/{BOXES}") or source.is_folder(f"{name}/img")
    ]  # fmt: skip
    if not names:
        raise ValueError(f"{source.location()}: no <sequence>/{BOXES} there; correct the path, or unpack DTB70 again")
    for name in names:
        yield Entry(name, partial(_read_sequence, source, name))


def _read_sequence(source: Source, name: str) -> Sequence:
    frames = list_frames(source, f"{name}/img")
    boxes = read_numbers(source, f"{name}/{BOXES}", len(frames), 4)
    return Sequence(name, "dtb70", frames, boxes, has_area(boxes))


DATASET = Dataset("dtb70", list_dtb70, splits=("test",), expected={"test": 70}, benchmarks={"dtb70": Benchmark("test")})
