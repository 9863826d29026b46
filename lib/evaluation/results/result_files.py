"""Which files below a folder or in a zip hold the boxes of which sequence, in the layouts of the tools of the field."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

from lib.data.datasets.registry import DATASETS
from lib.data.names import SCORE_FILES, SIDE_FILES
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.results.folder import LEGACY_INT, MANIFEST
from lib.evaluation.results.sequence_names import known_names, sequence_name, shares_name
from lib.runtime.json_text import parse_json

logger = logging.getLogger(__name__)

# Depth and number of entries that are looked at below a folder: of ours, some 100 trackers on every benchmark.
DEPTH = 8
ENTRIES = 1_000_000
_TIMES = "times"  # beside the boxes, in the got10k toolkit
OURS = "tracking-lib"
# Folders that name a dataset, not a tracker; letters and digits alone, in small letters.
_DATASETS = {re.sub(r"[^a-z0-9]", "", name) for name in (*DATASETS, *BENCHMARKS)} | {
    *(name for dataset in DATASETS.values() for name in dataset.folders), "results", "trackingresults", "rawresults",
}  # fmt: skip
_SKIPPED = ("__MACOSX", "checkpoints", "tensorboard", LEGACY_INT)


class Tree(Protocol):
    """Files by their names below one place, ``/`` between folders; an ``Archive`` is one too."""

    def names(self) -> tuple[str, ...]:
        """All of them."""

    def read(self, name: str) -> bytes:
        """The content of one; ``ValueError`` if it cannot be read."""


class Folder:
    """The texts, manifests and zips below a folder, in natural order of folders, as far as ``DEPTH`` and ``ENTRIES``
    go; ``whole`` says whether they went far enough."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.whole = True
        self._names = tuple(self._walk())

    def names(self) -> tuple[str, ...]:
        """The files' names."""
        return self._names

    def read(self, name: str) -> bytes:
        """The content of a file; ``ValueError`` if it cannot be read."""
        file = self.path / name
        try:
            return file.read_bytes()
        except OSError as error:
            raise ValueError(f"{file}: cannot be read ({error.strerror})") from error

    def _walk(self) -> Iterator[str]:
        left, seen, waiting = ENTRIES, set(), [""]
        while waiting:
            folder = waiting.pop()
            try:
                entries = sorted(os.scandir(self.path / folder), key=lambda entry: entry.name)
            except OSError as error:
                if not folder:
                    raise ValueError(f"{self.path}: cannot be listed ({error.strerror}); correct the path") from error
                logger.warning(
                    "%s: cannot be listed (%s); results in it are not found", self.path / folder, error.strerror
                )
                continue
            folders = []
            for entry in entries:
                left -= 1
                if left < 0:
                    self.whole = False
                    return
                name = f"{folder}{entry.name}"
                if entry.name.startswith(".") or entry.name in _SKIPPED:
                    continue
                if entry.is_dir():
                    place = os.path.realpath(entry.path)  # links to folders are followed, each folder once
                    if place in seen:
                        continue
                    seen.add(place)
                    if name.count("/") + 1 < DEPTH:
                        folders.append(f"{name}/")
                    else:
                        self.whole = False
                elif entry.name == MANIFEST or entry.name.lower().endswith((".txt", ".zip")):
                    yield name
            waiting += reversed(folders)


class BoxFile(NamedTuple):
    """A file of boxes: its name in the tree, the sequence as it spells it, which of the tracker's repetitions, and the
    files of times and of scores that go with it, or ""."""

    name: str
    written: str
    repetition: int = 1
    times: str = ""
    scores: str = ""


@dataclass(eq=False)
class FoundSet:
    """The results of one tracker in one folder (``root``, "" is the tree's own) of a tree.

    ``files`` are the box files by sequence: more than one of a repetition is for the reader to refuse. ``manifest`` is
    that of our own results, else None; ``damage`` says what is wrong with it.
    """

    root: str
    files: dict[str, list[BoxFile]] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None
    damage: str = ""

    def names(self, benchmark: str) -> tuple[str, ...]:
        """The benchmark's sequences among them, in its order; all by name where it has no list."""
        known = known_names(benchmark) if self.manifest is None else None
        return tuple(sorted(self.files) if known is None else (name for name in known if name in self.files))


def find_sets(tree: Tree, benchmark: str, where: Path) -> list[FoundSet]:
    """The result sets in a tree at ``where`` that have a sequence of the benchmark, by root.

    Boxes lie in ``<sequence>.txt``, or in ``<sequence>/<sequence>_001.txt`` with further repetitions beside it. Ours
    are told by their manifest, and come whatever benchmark it states.
    """
    names = [name for name in tree.names() if not _is_skipped(name)]
    ours = {_folder_of(name): name for name in names if _last(name) == MANIFEST}
    sets: dict[str, FoundSet] = {}
    for root, name in ours.items():
        found = _with_manifest(tree, root, name, where)
        if found is not None:
            sets[root] = found
    own, inside = set(sets), {}
    texts = [name for name in names if name.lower().endswith(".txt")]
    present = {name[: -len(".txt")]: name for name in texts}
    for name in texts:
        folder = _folder_of(name)
        if folder not in inside:
            inside[folder] = any(folder.startswith(f"{root}/") or (folder and not root) for root in own)
        if inside[folder]:
            continue
        root, file = _box_file(name, present)
        if file is not None:
            sequence = file.written if root in own else sequence_name(file.written, benchmark) or file.written
            sets.setdefault(root, FoundSet(root)).files.setdefault(sequence, []).append(file)
    for found in sets.values():
        _drop_shared(found, benchmark)
    return [sets[root] for root in sorted(sets) if sets[root].manifest is not None or sets[root].names(benchmark)]


def _box_file(name: str, present: Mapping[str, str]) -> tuple[str, BoxFile | None]:
    """What a text holds by its name, and the folder of the results it belongs to; None for what lies beside boxes."""
    path = name[: -len(".txt")]
    folder, _, written = path.rpartition("/")
    root, repetition = folder, 1
    repeated = re.fullmatch(r"(.+)_(\d{3})", written, re.DOTALL)
    if repeated and _last(folder) == repeated[1]:
        root, written, repetition = _folder_of(folder), repeated[1], int(repeated[2])
    elif _last(folder) == _TIMES or _is_side_file(path, present):
        return root, None
    return root, BoxFile(name, written, repetition, _times(folder, written, present), _scores(path, present))


def folder_label(source: Path) -> str:
    """The last folder that does not name a dataset."""
    names = [name.removesuffix(".zip") for name in reversed(source.absolute().parts)]
    return next((name for name in names if re.sub(r"[^a-z0-9]", "", name.lower()) not in _DATASETS), names[0])


def producer_of(found: FoundSet, benchmark: str, tree: Tree, place: Path) -> str:
    """Whose form the files have, as far as their places and the first of them tell."""
    if found.manifest is not None:
        return OURS
    zipped = place.suffix.lower() == ".zip"
    names = found.names(benchmark)
    files = found.files[names[0]]
    if PurePosixPath(files[0].name).parent.name == files[0].written and files[0].name.endswith("_001.txt"):
        count = max(file.repetition for name in names for file in found.files[name])
        who = "GOT-10k archive" if zipped else "got10k toolkit"
        return f"{who} ({count} repetitions)" if count > 1 else who
    if zipped and benchmark == "trackingnet":
        return "TrackingNet archive"
    if any(f"/{_TIMES}/" in f"/{file.times}" for name in names for file in found.files[name]):
        return "got10k toolkit"
    try:
        content = tree.read(files[0].name)
    except ValueError:
        content = b""  # whoever asks for this sequence's boxes is told
    return _writer(content) + (", zipped" if zipped else "")


def _writer(content: bytes) -> str:
    """Who parts numbers like that: what comes to all trackers of a family from the code they share."""
    line = content[:200].decode("utf-8", errors="replace").partition("\n")[0]
    whole = not re.search(r"[.eEnN]", line)
    if "\t" in line:
        return "pytracking, OSTrack (tabs, integers)" if whole else "pytracking's family (tabs)"
    if "," in line:
        return "GRM (commas, integers)" if whole else "pysot, got10k toolkit (commas)"
    return "unknown (blanks)" if line else "unknown"


def _with_manifest(tree: Tree, root: str, name: str, where: Path) -> FoundSet | None:
    """Our own results; None if the manifest is of another program."""
    try:
        content = parse_json(tree.read(name))
    except ValueError as error:
        return FoundSet(root, manifest={}, damage=f"{where / name}: cannot be read ({error}); mend it or move it away")
    if not isinstance(content, dict) or "checkpoint_sha256" not in content or "benchmark" not in content:
        return None
    return FoundSet(root, manifest=content)


def _is_side_file(path: str, present: Mapping[str, str]) -> bool:
    """Whether a tool wrote it beside a box file: that one is there, or the folder bears the sequence's name."""
    bases = [path.removesuffix(suffix) for suffix in SIDE_FILES if path.endswith(suffix)]
    return any(base in present or _last(base) == _last(_folder_of(base)) for base in bases)


def _times(folder: str, written: str, present: Mapping[str, str]) -> str:
    """The file of the times of a sequence whose boxes lie in the folder, or ""."""
    for place in (folder, f"{folder}/{_TIMES}".lstrip("/")):
        path = f"{place}/{written}_time".lstrip("/")
        if path in present:
            return present[path]
    return ""


def _scores(path: str, present: Mapping[str, str]) -> str:
    """The file with a score for each frame beside a file of boxes, or ""."""
    return next((present[path + end] for end in SCORE_FILES if path + end in present), "")


def _drop_shared(found: FoundSet, benchmark: str) -> None:
    """Where a folder holds two benchmarks' sequences of one name, keep those that are spelled as this one's."""
    for sequence, files in found.files.items():
        own = [file for file in files if not shares_name(file.written, benchmark)]
        if own:
            found.files[sequence] = own


def _is_skipped(name: str) -> bool:
    return any(part.startswith(".") or part in _SKIPPED for part in name.split("/"))


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]
