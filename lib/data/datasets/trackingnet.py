"""TrackingNet: twelve chunks of training videos, and a test chunk where only the first frames are annotated."""

import re
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import (
    has_area,
    list_frames,
    numbered_frames,
    package_names,
    read_numbers,
    stem,
    warn_unofficial,
)
from lib.data.datasets.record import Benchmark, Dataset, Entry
from lib.data.files.source import Source
from lib.data.types import Sequence

CHUNKS = range(12)
official_names = partial(package_names, "trackingnet_test.txt")  # of the test videos


def list_trackingnet(source: Source, split: str) -> Iterator[Entry]:
    """The videos of a split, chunk by chunk, sorted by name, one for each text in ``anno``.

    ``train`` is all chunks (GRM and OSTrack train on them), ``train_0-3`` some of them (TransT), ``train_4`` one,
    ``train_0-3,7`` a list; ``test`` has one box a video. A frame is visible if its box has an area. All training frames
    have boxes, though people drew only every 30th (see ``annotated_every``). Raises ``ValueError`` naming the chunks,
    video or file.
    """
    if split == "test":
        yield from _list_chunk(source, "TEST", first_box_only=True)
        return
    chunks = _chunks(split)
    if missing := [f"TRAIN_{chunk}" for chunk in chunks if not source.is_folder(f"TRAIN_{chunk}")]:
        there = [chunk for chunk in CHUNKS if source.is_folder(f"TRAIN_{chunk}")]
        part = f"use split 'train_{','.join(map(str, there))}', which takes what is there"
        remedy = part if there else "set its path to their folder"
        raise ValueError(f"{source.location()}: has no {', '.join(missing)}; unpack what is missing, or {remedy}")
    for chunk in chunks:
        yield from _list_chunk(source, f"TRAIN_{chunk}", first_box_only=False)


def _chunks(split: str) -> list[int]:
    """The numbers of the training chunks of a split, in ascending order."""
    if split == "train":
        return list(CHUNKS)
    ranges = re.findall(r"(\d+)(?:-(\d+))?", split)
    chunks = {chunk for first, last in ranges for chunk in range(int(first), int(last or first) + 1)}
    if not re.fullmatch(r"train_\d+(-\d+)?(,\d+(-\d+)?)*", split) or not chunks or not chunks <= set(CHUNKS):
        raise ValueError(
            f"trackingnet has no split {split!r}; its splits are: train, test, "
            "and chunks 0 to 11 as train_4, train_0-3 or train_0-3,7"
        )
    return sorted(chunks)


def _list_chunk(source: Source, chunk: str, first_box_only: bool) -> Iterator[Entry]:
    texts = [name for name in source.names(f"{chunk}/anno") if name.endswith(".txt") and not name.startswith(".")]
    names = [stem(name) for name in texts]
    if not names:
        raise ValueError(f"{source.location(f'{chunk}/anno')}: holds no <video>.txt; unpack the chunk again")
    if first_box_only:
        # The server counts a missing video as zero boxes.
        warn_unofficial(names, official_names(), "test", source.location("TEST/anno"))
    for name in names:
        yield Entry(name, partial(_read_video, source, chunk, name, first_box_only))


def _read_video(source: Source, chunk: str, name: str, first_box_only: bool) -> Sequence:
    boxes = read_numbers(source, f"{chunk}/anno/{name}.txt", 1 if first_box_only else None, 4)
    folder = f"{chunk}/frames/{name}"
    # The rows count the frames of a training video: listing 30,132 folders takes long.
    if first_box_only:
        frames = list_frames(source, folder, first=0)
    else:
        frames = numbered_frames(source, folder, "%d.jpg", 0, len(boxes))
    return Sequence(name, "trackingnet", frames, boxes, has_area(boxes))


DATASET = Dataset(
    "trackingnet",
    list_trackingnet,
    splits=("train", "test"),
    more_splits=True,
    # TrackingNet-devkit's table lists a video of TRAIN_0 twice, hence 2512 rows there for 2511 videos.
    expected={"train": 30132, "train_0-3": 10044, **{f"train_{chunk}": 2511 for chunk in CHUNKS}},
    names={"test": official_names},
    benchmarks={"trackingnet": Benchmark("test", "trackingnet", server="the TrackingNet server (eval.ai)")},
)
