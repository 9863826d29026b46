"""TNL2K: 700 videos for testing and 1300 for training, each with a sentence that describes its target."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import has_area, package_names, read_numbers
from lib.data.datasets.order import LostFrameError, is_image, order_frames
from lib.data.datasets.record import Benchmark, Dataset, Entry
from lib.data.stores.source import Source
from lib.data.types import SHORTFALL, FrameFiles, Sequence

NAMES = {split: partial(package_names, f"tnl2k_{split}.txt") for split in ("test", "train")}

logger = logging.getLogger(__name__)


def list_tnl2k(source: Source, split: str) -> Iterator[Entry]:
    """The sequences of a split in the order of the official toolkit's list.

    Their folders lie in ``TNL2K_<split>_subset`` or ``<split>`` if there is one, else in the root, all together or one
    folder deeper in parts. Folders that neither list names replace as many missing ones (logged), since copies spell
    some names otherwise. Images are ``<sequence>/imgs/*`` in the order of their numbers, png or jpg; the first line of
    ``language.txt`` is ``meta["language"]``. Nothing is absent: such flags exist only in the toolkit (where
    ``advSamp_monitor_bikeyellow`` has one more flag than boxes), and public trackers ignore them.
    ``monitor_manypeople`` is in both splits. The image ``test_015_Sord_video_Q01_done/imgs/00000492.png`` is damaged in
    the published archive; OSTrack put a copy of the one before in its place. Raises ``ValueError`` naming the file.
    """
    lists = {name: names() for name, names in NAMES.items()}
    folder = next((f for f in (f"TNL2K_{split}_subset", split) if source.is_folder(f)), "")
    logger.info("%s: the %s sequences of TNL2K lie in %s", source.location(), split, source.location(folder))
    found = _find_sequences(source, folder, set(lists[split]))
    names = lists[split]
    missing = [name for name in names if name not in found]
    unlisted = sorted(set(found).difference(*lists.values()))
    if missing and len(unlisted) >= len(missing):
        logger.info(
            "%s: %d listed sequences are not there (%s); taken for them: %s",
            source.location(folder), len(missing), ", ".join(missing[:3]), ", ".join(unlisted),
        )  # fmt: skip
        names = [name for name in names if name in found] + unlisted
    for name in names:
        yield Entry(name, partial(_read_sequence, source, found.get(name, _below(folder, name)), name))


def _find_sequences(source: Source, folder: str, wanted: set[str]) -> dict[str, str]:
    """The keys of the folders in a folder by their names; where wanted ones are missing, of those one deeper too."""
    found = {name: _below(folder, name) for name in source.names(folder) if source.is_folder(_below(folder, name))}
    if wanted <= set(found):
        return found
    sequences = {}
    for name, key in found.items():
        inside = source.names(key)
        if name in wanted or "imgs" in inside or "groundtruth.txt" in inside:
            sequences[name] = key
        else:
            sequences |= {part: f"{key}/{part}" for part in inside if source.exists(f"{key}/{part}/groundtruth.txt")}
    return sequences


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _read_sequence(source: Source, key: str, name: str) -> Sequence:
    images = [image for image in source.names(f"{key}/imgs") if is_image(image)]
    if not images:
        raise ValueError(f"{source.location(key)}/imgs: no images there; unpack the sequence again")
    boxes = read_numbers(source, f"{key}/groundtruth.txt", len(images), 4)
    folder, meta = source.location(f"{key}/imgs"), _language(source, f"{key}/language.txt")
    try:
        ordered = order_frames(images, folder)
    except LostFrameError as error:
        # Each image has its row, and whether the published numbers leave none out is not known.
        ordered, meta[SHORTFALL] = error.names, str(error)
    return Sequence(name, "tnl2k", FrameFiles(folder, ordered), boxes, has_area(boxes), meta=meta)


def _language(source: Source, key: str) -> dict[str, str]:
    """The sentence that describes the target; none where the file is missing or empty."""
    lines = source.text(key).splitlines() if source.exists(key) else []
    return {"language": lines[0].strip()} if lines else {}


DATASET = Dataset(
    "tnl2k",
    list_tnl2k,
    splits=("test", "train"),
    expected={"test": 700, "train": 1300},
    names=NAMES,
    benchmarks={"tnl2k": Benchmark("test", "lasot")},
)
