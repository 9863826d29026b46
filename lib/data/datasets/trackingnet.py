"""TrackingNet: twelve chunks of training videos, and a test chunk where only the first frames are annotated."""

import re
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import Listed, package_names
from lib.data.datasets.record import Benchmark, Dataset
from lib.data.files.source import Source

CHUNKS = range(12)


def list_trackingnet(source: Source, split: str) -> Iterator[Listed]:
    """The videos of a split, chunk by chunk, sorted by name, one for each text in ``anno``.

    ``train`` is all chunks (GRM and OSTrack train on them), ``train_0-3`` some of them (TransT), ``train_4`` one,
    ``train_0-3,7`` a list; ``test`` has one box a video. A frame is visible if its box has an area. All training frames
    have boxes, though people drew only every 30th (see ``annotated_every``).
    """
    if split == "test":
        for name in _videos(source, "TEST"):
            yield Listed(name, f"TEST/frames/{name}", f"TEST/anno/{name}.txt", first=0, one_box=True)
        return
    chunks = _chunks(split)
    if missing := [f"TRAIN_{chunk}" for chunk in chunks if not source.is_folder(f"TRAIN_{chunk}")]:
        raise ValueError(
            f"{source.location()}: has no {', '.join(missing)}; unpack what is missing, set its path to their folder, "
            "or name the chunks that are there (split train_0-3,7)"
        )
    for folder in (f"TRAIN_{chunk}" for chunk in chunks):
        for name in _videos(source, folder):
            # The rows count the frames: listing 30,132 folders takes long.
            yield Listed(name, f"{folder}/frames/{name}", f"{folder}/anno/{name}.txt", "%d.jpg", first=0)


def _chunks(split: str) -> list[int]:
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


def _videos(source: Source, chunk: str) -> list[str]:
    texts = source.names(f"{chunk}/anno")
    return [text.removesuffix(".txt") for text in texts if text.endswith(".txt") and not text.startswith(".")]


DATASET = Dataset(
    "trackingnet",
    list_trackingnet,
    splits=("train", "test"),
    more_splits=True,
    # TrackingNet-devkit's table lists a video of TRAIN_0 twice, hence 2512 rows there for 2511 videos.
    expected={"train": 30132, "train_0-3": 10044, **{f"train_{chunk}": 2511 for chunk in CHUNKS}},
    names={"test": partial(package_names, "trackingnet_test.txt")},
    benchmarks={"trackingnet": Benchmark("test", "trackingnet", server="the TrackingNet server (eval.ai)")},
)
