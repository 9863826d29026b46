"""LaSOT and its extension: sequences by name, in the layouts of the archives and of copies."""

import logging
import re
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import Listed, list_folders, package_names
from lib.data.datasets.order import natural_order
from lib.data.datasets.record import Benchmark, Dataset
from lib.data.files.source import Source, join_key

logger = logging.getLogger(__name__)

LASOT_NAMES = {split: partial(package_names, f"lasot_{split}.txt") for split in ("train", "test", "extension")}


def list_lasot(source: Source, split: str) -> Iterator[Listed]:
    """The sequences of a split, in the order of its list: ``train`` (1120), ``test`` (280), ``extension`` (150, which
    GRM keeps under the same root), or ``full``, all sequence folders that are there.

    A target is absent where full_occlusion.txt or out_of_view.txt marks it, and visible where it is not absent and its
    box has an area.
    """
    names = LASOT_NAMES[split]() if split in LASOT_NAMES else None
    folder, found = _find(source, names)
    if not found:
        return
    logger.info("lasot: %d sequences lie in %s", len(found), source.location(folder))
    for name in names or sorted(found, key=natural_order):
        key = found.get(name, join_key(folder, f"{_class(name)}/{name}"))
        flags = (f"{key}/full_occlusion.txt", f"{key}/out_of_view.txt")
        boxes = f"{key}/groundtruth.txt"
        yield Listed(name, f"{key}/img", boxes, "%08d.jpg", flags=flags, object_class=_class(name))


def _find(source: Source, names: list[str] | None) -> tuple[str, dict[str, str]]:
    """The folder that holds sequences (any of ``names`` if given), and the keys of all sequences in it by name.

    It is the root, or a folder in it (LaSOTBenchmark, as the archive of the whole is called). Sequences
    (``<class>-<n>``) lie side by side there, or in a folder of their class.
    """
    for folder in ("", *(name for name in list_folders(source) if "." not in name)):
        found: dict[str, str] = {}
        for name in source.names(folder):
            key = join_key(folder, name)
            if _class(name):
                found[name] = key
            elif "." not in name and source.is_folder(key):
                found |= {child: f"{key}/{child}" for child in source.names(key) if _class(child) == name}
        if found and (names is None or not found.keys().isdisjoint(names)):
            return folder, found
    return "", {}


def _class(name: str) -> str:
    """The class of a sequence, which is the text before the last ``-``; empty if the name is no sequence's."""
    match = re.fullmatch(r"(.+)-\d+", name)
    return match[1] if match else ""


DATASET = Dataset(
    "lasot",
    list_lasot,
    splits=(*LASOT_NAMES, "full"),
    names=LASOT_NAMES,
    attributes={"test": ("lasot.json",)},
    benchmarks={"lasot": Benchmark("test", "lasot")},
    folders=("lasotext", "lasotextension"),
)
EXTENSION = Dataset(
    "lasot_extension_subset",
    # OSTrack has it as a dataset of its own.
    lambda source, split: list_lasot(source, "extension"),
    splits=("test",),
    names={"test": LASOT_NAMES["extension"]},
    benchmarks={"lasot_extension_subset": Benchmark("test", "lasot")},
)
