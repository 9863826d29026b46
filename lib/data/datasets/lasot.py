"""LaSOT and its extension: sequences by name, in the layouts of the archives and of copies."""

import logging
import re
from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import has_area, numbered_frames, package_names, read_flags, read_numbers
from lib.data.datasets.record import Benchmark, Dataset, Entry, refuse
from lib.data.files.source import Source, join_key
from lib.data.types import Sequence

logger = logging.getLogger(__name__)

NAMES = {
    "train": partial(package_names, "lasot_train.txt"),
    "test": partial(package_names, "lasot_test.txt"),
    "extension": partial(package_names, "lasot_ext.txt"),
}
_NAME = re.compile(r"(.+)-(\d+)")


def list_lasot(source: Source, split: str) -> Iterator[Entry]:
    """The sequences of a split, in the order of its list: ``train`` (1120), ``test`` (280), ``extension`` (150, which
    GRM keeps under the same root), or ``full``, all sequence folders that are there.

    A target is absent where full_occlusion.txt or out_of_view.txt marks it, and visible where it is not absent and its
    box has an area. Raises ``ValueError`` naming the sequence or file.
    """
    return _list(source, "lasot", split)


def list_lasot_extension_subset(source: Source, split: str) -> Iterator[Entry]:
    """The 150 sequences of LaSOT's extension as a dataset of its own, as OSTrack has it; its only split is ``test``."""
    return _list(source, "lasot_extension_subset", "extension")


def _list(source: Source, dataset: str, split: str) -> Iterator[Entry]:
    names = NAMES[split]() if split in NAMES else None
    folder, found = _find(source, names)
    if not found:
        wanted = f"the sequences of split {split!r}" if names else "a sequence"
        raise ValueError(
            f"{source.location()}: holds none of {wanted}, neither as <class>/<class>-<n>/ nor as <class>-<n>/; "
            f"set the path of {dataset} to the folder of LaSOT, or unpack it again"
        )
    by_class = any(key != join_key(folder, name) for name, key in found.items())
    place = "in a folder for each class" if by_class else "side by side"
    logger.info("%s: %d sequences lie in %s, %s", dataset, len(found), source.location(folder), place)
    for name in names or sorted(found, key=_class_and_number):
        if name in found:
            yield Entry(name, partial(_read_sequence, source, found[name], name, dataset))
        else:
            message = (
                f"{source.location(folder)}: has no {_class_and_number(name)[0]}/{name}/ nor {name}/ of split "
                f"{split!r}; unpack it, or read split 'full' of lasot, which takes what is there"
            )
            yield Entry(name, partial(refuse, message))


def _find(source: Source, names: list[str] | None) -> tuple[str, dict[str, str]]:
    """The folder that holds sequences (any of ``names`` if given), and the keys of all sequences in it by name.

    It is the root, or a folder in it (LaSOTBenchmark, as the archive of the whole is called).
    """
    folders = (name for name in source.names() if "." not in name and source.is_folder(name))
    for folder in ("", *folders):
        found = _sequences(source, folder)
        if found and (names is None or not found.keys().isdisjoint(names)):
            return folder, found
    return "", {}


def _sequences(source: Source, folder: str) -> dict[str, str]:
    """The keys of the sequences in a folder by name: ``<class>-<n>``, or in a folder of their class."""
    found: dict[str, str] = {}
    for name in source.names(folder):
        key = join_key(folder, name)
        if _NAME.fullmatch(name):
            found[name] = key
        elif "." not in name and source.is_folder(key):
            members = ((child, _NAME.fullmatch(child)) for child in source.names(key))
            found |= {child: f"{key}/{child}" for child, match in members if match and match[1] == name}
    return found


def _read_sequence(source: Source, key: str, name: str, dataset: str) -> Sequence:
    boxes = read_numbers(source, f"{key}/groundtruth.txt", None, 4)
    absent = read_flags(source, f"{key}/full_occlusion.txt", len(boxes))
    absent |= read_flags(source, f"{key}/out_of_view.txt", len(boxes))
    frames = numbered_frames(source, f"{key}/img", "%08d.jpg", 1, len(boxes))
    meta = {"class": _class_and_number(name)[0]}
    if source.exists(f"{key}/nlp.txt"):
        meta["language"] = source.text(f"{key}/nlp.txt").strip()
    return Sequence(name, dataset, frames, boxes, has_area(boxes) & ~absent, absent=absent, meta=meta)


def _class_and_number(name: str) -> tuple[str, int]:
    """The order of sequences; the class is the text before the last ``-``."""
    text, number = _NAME.fullmatch(name).groups()
    return text, int(number)


DATASET = Dataset(
    "lasot",
    list_lasot,
    splits=(*NAMES, "full"),
    names=NAMES,
    attributes={"test": ("lasot.json",)},
    benchmarks={"lasot": Benchmark("test", "lasot")},
    folders=("lasotext", "lasotextension"),
)
EXTENSION = Dataset(
    "lasot_extension_subset",
    list_lasot_extension_subset,
    splits=("test",),
    names={"test": NAMES["extension"]},
    benchmarks={"lasot_extension_subset": Benchmark("test", "lasot")},
)
