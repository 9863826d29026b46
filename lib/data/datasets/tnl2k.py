"""TNL2K: 700 videos for testing and 1300 for training, each with a sentence that describes its target."""

import logging
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import list_folders, package_names, read_numbers
from lib.data.datasets.order import is_image, order_frames
from lib.data.datasets.record import Benchmark, Dataset, Entry
from lib.data.files.source import Source, join_key
from lib.data.types import SHORTFALL, FrameFiles, Sequence
from lib.geometry.overlaps import is_box

TNL2K_NAMES = {split: partial(package_names, f"tnl2k_{split}.txt") for split in ("test", "train")}

logger = logging.getLogger(__name__)


def list_tnl2k(source: Source, split: str) -> Iterator[Entry]:
    """The sequences of a split in the order of the official toolkit's list.

    Their folders lie in ``TNL2K_<split>_subset`` or ``<split>`` if there is one, else in the root, all together or one
    folder deeper in parts. Copies spell some names otherwise: folders that are in no list replace as many missing ones,
    which is logged. Images are ``<sequence>/imgs/*`` in the order of their numbers, png or jpg; the first line of
    ``language.txt`` is ``meta["language"]``. No frame is absent: only the toolkit has such flags (one more than boxes
    for ``advSamp_monitor_bikeyellow``), and public trackers ignore them. ``monitor_manypeople`` is in both splits. The
    image ``test_015_Sord_video_Q01_done/imgs/00000492.png`` is damaged in the published archive; OSTrack replaced it by
    a copy of the one before.
    """
    names, listed = TNL2K_NAMES[split](), {name for names in TNL2K_NAMES.values() for name in names()}
    folder = next((f for f in (f"TNL2K_{split}_subset", split) if source.is_folder(f)), "")
    logger.info("%s: the %s sequences of TNL2K lie in %s", source.location(), split, source.location(folder))
    found: dict[str, str] = {}  # keys by name
    for name in list_folders(source, folder):
        key = join_key(folder, name)
        inside = [] if name in listed else source.names(key)
        if name in listed or "imgs" in inside or "groundtruth.txt" in inside:
            found[name] = key
        else:
            found |= {part: f"{key}/{part}" for part in inside if source.exists(f"{key}/{part}/groundtruth.txt")}
    missing, unlisted = [name for name in names if name not in found], sorted(set(found) - listed)
    if missing and len(unlisted) >= len(missing):
        logger.info(
            "%s: %d listed sequences are not there (%s); taken for them: %s",
            source.location(folder), len(missing), ", ".join(missing[:3]), ", ".join(unlisted),
        )  # fmt: skip
        names = [name for name in names if name in found] + unlisted
    for name in names:
        yield Entry(name, partial(_read_sequence, source, found.get(name, join_key(folder, name)), name))


def _read_sequence(source: Source, key: str, name: str) -> Sequence:
    images = [image for image in source.names(f"{key}/imgs") if is_image(image)]
    if not images:
        raise ValueError(f"{source.location(key)}/imgs: no images there; unpack the sequence again")
    boxes = read_numbers(source, f"{key}/groundtruth.txt", len(images), 4)
    text = source.text(f"{key}/language.txt") if source.exists(f"{key}/language.txt") else ""
    meta = {"language": text.partition("\n")[0].strip()} if text else {}
    folder = source.location(f"{key}/imgs")
    names, note = order_frames(images, folder, rows=len(boxes))  # the published numbers may have gaps
    if note:
        meta[SHORTFALL] = note
    return Sequence(name, "tnl2k", FrameFiles(folder, names), boxes, is_box(boxes), meta=meta)


DATASET = Dataset(
    "tnl2k",
    list_tnl2k,
    splits=("test", "train"),
    names=TNL2K_NAMES,
    benchmarks={"tnl2k": Benchmark("test", "lasot")},
)
