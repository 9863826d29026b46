"""The files of boxes below a folder or in a zip, by tracker and sequence, in the layouts of the tools of the field."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import basename, dirname
from typing import NamedTuple, Protocol

from lib.data.datasets.record import SIDE_FILES
from lib.evaluation.results.folder import LEGACY_INT, MANIFEST

logger = logging.getLogger(__name__)

# Endings of files with a score for each frame: ours, pytracking's and VOT's.
SCORE_FILES = ("_scores", "_object_presence_scores", "_confidence")
_TIMES = "times"  # beside the boxes, in the got10k toolkit
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
            folders[:] = sorted(name for real, name in below.items() if real not in seen and not is_skipped(name))
            seen |= below.keys()
            for name in sorted(files):
                if not is_skipped(name) and (name == MANIFEST or name.lower().endswith((".txt", ".zip"))):
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


def box_file(name: str, present: Mapping[str, str]) -> tuple[str, BoxFile | None]:
    """The folder of the results that a text belongs to, and the box file; None for a file beside boxes."""
    path = name[: -len(".txt")]
    folder, _, written = path.rpartition("/")
    root, repetition = folder, 1
    repeated = re.fullmatch(r"(.+)_(\d{3})", written, re.DOTALL)
    if repeated and basename(folder) == repeated[1]:
        root, written, repetition = dirname(folder), repeated[1], int(repeated[2])
    elif basename(folder) == _TIMES or _is_side_file(path, present):
        return root, None
    return root, BoxFile(name, written, repetition, _times(folder, written, present), _scores(path, present))


def _is_side_file(path: str, present: Mapping[str, str]) -> bool:
    """Whether a tool wrote it beside a box file: that file exists, or the folder has the sequence's name."""
    bases = [path.removesuffix(suffix) for suffix in SIDE_FILES if path.endswith(suffix)]
    return any(base in present or basename(base) == basename(dirname(base)) for base in bases)


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


def is_skipped(part: str) -> bool:
    """Whether a file or folder of this name holds no results."""
    return part.startswith(".") or part in _SKIPPED
