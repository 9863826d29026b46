"""The files of boxes below a folder or in a zip, by tracker and sequence, in the layouts of the tools of the field."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lib.data.names import SCORE_FILES, SIDE_FILES
from lib.evaluation.results.folder import LEGACY_INT, MANIFEST
from lib.evaluation.results.sequence_names import known_names, sequence_name, shares_name
from lib.runtime.json_text import parse_json

logger = logging.getLogger(__name__)

_TIMES = "times"  # beside the boxes, in the got10k toolkit
OURS = "tracking-lib"
_SKIPPED = ("__MACOSX", "checkpoints", "tensorboard", LEGACY_INT)


class Tree(Protocol):
    """Files by their names below one place, ``/`` between folders: a ``Folder`` or an ``Archive``."""

    def names(self) -> tuple[str, ...]:
        """All names."""

    def read(self, name: str) -> bytes:
        """The content of a file; ``ValueError`` if it cannot be read."""


class Folder(Tree):
    """The texts, manifests and zips below a folder. Links to folders are followed, each folder once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = tuple(self._walk())

    def names(self) -> tuple[str, ...]:
        return self._names

    def read(self, name: str) -> bytes:
        file = self.path / name
        try:
            return file.read_bytes()
        except OSError as error:
            raise ValueError(f"{file}: cannot be read ({error.strerror})") from error

    def _walk(self) -> Iterator[str]:
        seen = {os.path.realpath(self.path)}
        for folder, folders, files in os.walk(self.path, onerror=self._refuse, followlinks=True):
            above = Path(folder).relative_to(self.path)
            below = {os.path.realpath(os.path.join(folder, name)): name for name in sorted(folders, reverse=True)}
            folders[:] = sorted(name for real, name in below.items() if real not in seen and not _is_skipped(name))
            seen |= below.keys()
            for name in sorted(files):
                if not _is_skipped(name) and (name == MANIFEST or name.lower().endswith((".txt", ".zip"))):
                    yield (above / name).as_posix()

    def _refuse(self, error: OSError) -> None:
        if error.filename == str(self.path):
            raise ValueError(f"{self.path}: cannot be listed ({error.strerror}); correct the path") from error
        logger.warning("%s: cannot be listed (%s); results in it are not found", error.filename, error.strerror)


class BoxFile(NamedTuple):
    """A file of boxes: its ``name`` in the tree, the sequence as it is ``written`` there, the number of the tracker's
    run, and the files of times and of scores that belong to it, or ""."""

    name: str
    written: str
    repetition: int = 1
    times: str = ""
    scores: str = ""


@dataclass(eq=False)
class FoundSet:
    """The results of one tracker in one folder (``root``, "" is the top) of the ``tree`` of files at ``place``.

    ``files`` are the box files by sequence; two of one repetition are for the reader to refuse. ``manifest`` is None
    for results of others. ``damage`` is the fault of the manifest, or of a zip, which has no tree then.
    """

    place: Path
    root: str = ""
    tree: Tree | None = None
    files: dict[str, list[BoxFile]] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None
    damage: str = ""

    @property
    def source(self) -> Path:
        """The folder of the results; of a zip, the zip with the folder behind it."""
        return self.place / self.root

    def names(self, benchmark: str) -> tuple[str, ...]:
        """The benchmark's sequences among them, in its order; all by name where it has no list."""
        known = known_names(benchmark) if self.manifest is None else None
        return tuple(sorted(self.files) if known is None else (name for name in known if name in self.files))

    def repetitions(self) -> list[int]:
        """The numbers of the tracker's runs."""
        return sorted({file.repetition for files in self.files.values() for file in files})


def find_sets(tree: Tree, benchmark: str, place: Path) -> list[FoundSet]:
    """The result sets of the tree of files at ``place`` that have a sequence of the benchmark, by root.

    Boxes lie in ``<sequence>.txt``, or in ``<sequence>/<sequence>_001.txt`` with further repetitions beside it. A
    folder with a manifest of ours is one set; it is left out if the manifest states another benchmark.
    """
    names = [name for name in tree.names() if not any(map(_is_skipped, name.split("/")))]
    sets: dict[str, FoundSet] = {}
    for name in names:
        if _last(name) == MANIFEST and (own := _with_manifest(tree, name, place)):
            sets[own.root] = own
    ours = set(sets)
    texts = {name[: -len(".txt")]: name for name in names if name.lower().endswith(".txt")}
    below_ours = {
        folder
        for folder in set(map(_folder_of, texts))
        if any(folder.startswith(f"{root}/") or (folder and not root) for root in ours)
    }
    for name in texts.values():
        root, file = _box_file(name, texts)
        if file is not None and _folder_of(name) not in below_ours:
            sequence = file.written if root in ours else sequence_name(file.written, benchmark) or file.written
            sets.setdefault(root, FoundSet(place, root, tree)).files.setdefault(sequence, []).append(file)
    for found in sets.values():
        _drop_shared(found, benchmark)
    return [sets[root] for root in sorted(sets) if _is_of(sets[root], benchmark)]


def _is_of(found: FoundSet, benchmark: str) -> bool:
    """Whether the manifest states the benchmark (a damaged one states none); without one, whether a file is of it."""
    if found.manifest is None:
        return bool(found.names(benchmark))
    return found.manifest.get("benchmark", benchmark) == benchmark


def _box_file(name: str, present: Mapping[str, str]) -> tuple[str, BoxFile | None]:
    """The folder of the results that a text belongs to, and the box file; None for a file beside boxes."""
    path = name[: -len(".txt")]
    folder, _, written = path.rpartition("/")
    root, repetition = folder, 1
    repeated = re.fullmatch(r"(.+)_(\d{3})", written, re.DOTALL)
    if repeated and _last(folder) == repeated[1]:
        root, written, repetition = _folder_of(folder), repeated[1], int(repeated[2])
    elif _last(folder) == _TIMES or _is_side_file(path, present):
        return root, None
    return root, BoxFile(name, written, repetition, _times(folder, written, present), _scores(path, present))


def _with_manifest(tree: Tree, name: str, place: Path) -> FoundSet | None:
    """Our own results; None if the manifest is of another program."""
    root = _folder_of(name)
    try:
        content = parse_json(tree.read(name))
    except ValueError as error:
        damage = f"{place / name}: cannot be read ({error}); mend it or move it away"
        return FoundSet(place, root, tree, manifest={}, damage=damage)
    if not isinstance(content, dict) or "checkpoint_sha256" not in content or "benchmark" not in content:
        return None
    return FoundSet(place, root, tree, manifest=content)


def _is_side_file(path: str, present: Mapping[str, str]) -> bool:
    """Whether a tool wrote it beside a box file: that file exists, or the folder has the sequence's name."""
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
    """Where a folder holds sequences of one name of two benchmarks, keep those spelled like this benchmark's."""
    for sequence, files in found.files.items():
        own = [file for file in files if not shares_name(file.written, benchmark)]
        if own:
            found.files[sequence] = own


def _is_skipped(part: str) -> bool:
    return part.startswith(".") or part in _SKIPPED


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]
