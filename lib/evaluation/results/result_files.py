"""The files of boxes below a folder or in a zip, by tracker and sequence, in the layouts of the tools of the field."""

import logging
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from posixpath import basename, dirname, join
from typing import NamedTuple

from lib.data.datasets.record import SIDE_FILES
from lib.evaluation.results.folder import LEGACY_INT, MANIFEST

logger = logging.getLogger(__name__)

# By the name of each file below a place, "/" between folders, what reads it; ``ValueError`` if it cannot be read.
Files = Mapping[str, Callable[[], bytes]]

# Endings of files with a score for each frame: ours, pytracking's and VOT's.
SCORE_FILES = ("_scores", "_object_presence_scores", "_confidence")
_TIMES = "times"  # beside the boxes, in the got10k toolkit
_SKIPPED = ("__MACOSX", "checkpoints", "tensorboard", LEGACY_INT)


def folder_files(path: Path) -> Files:
    """The texts, manifests and zips below a folder. Links to folders are followed, each folder once. Raises
    ``ValueError`` if it cannot be listed; another one below it is logged."""

    def refuse(error: OSError) -> None:
        if error.filename == str(path):
            raise ValueError(f"{path}: cannot be listed ({error.strerror}); correct the path") from error
        logger.warning("%s: cannot be listed (%s); results in it are not found", error.filename, error.strerror)

    files, seen = {}, {os.path.realpath(path)}
    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        below = {os.path.realpath(os.path.join(folder, name)): name for name in sorted(folders, reverse=True)}
        folders[:] = sorted(name for real, name in below.items() if real not in seen and not is_skipped(name))
        seen |= below.keys()
        for name in sorted(names):
            if not is_skipped(name) and (name == MANIFEST or name.lower().endswith((".txt", ".zip"))):
                file = Path(folder, name)
                files[file.relative_to(path).as_posix()] = partial(_read, file)
    return files


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error


def is_skipped(part: str) -> bool:
    """Whether a file or folder of this name holds no results."""
    return part.startswith(".") or part in _SKIPPED


class BoxFile(NamedTuple):
    """A file of boxes: the folder of its results (``root``), its ``name``, the sequence as it is ``written`` there, the
    number of the tracker's run, and the files of times and of scores that belong to it, or ""."""

    root: str
    name: str
    written: str
    repetition: int = 1
    times: str = ""
    scores: str = ""


def box_file(path: str, texts: Mapping[str, str]) -> BoxFile | None:
    """The box file of one of the ``texts``, which are names by path without ``.txt``; None for a file beside boxes."""
    folder, written = dirname(path), basename(path)
    root, repetition = folder, 1
    repeated = re.fullmatch(r"(.+)_(\d{3})", written, re.DOTALL)
    if repeated and basename(folder) == repeated[1]:
        root, written, repetition = dirname(folder), repeated[1], int(repeated[2])
    elif basename(folder) == _TIMES or _is_side_file(path, texts):
        return None
    times = (join(folder, f"{written}_time"), join(folder, _TIMES, f"{written}_time"))
    scores = (path + end for end in SCORE_FILES)
    beside = (next((texts[each] for each in paths if each in texts), "") for paths in (times, scores))
    return BoxFile(root, texts[path], written, repetition, *beside)


def _is_side_file(path: str, texts: Mapping[str, str]) -> bool:
    """Whether a tool wrote it beside a box file: that file exists, or the folder has the sequence's name."""
    bases = [path.removesuffix(suffix) for suffix in SIDE_FILES if path.endswith(suffix)]
    return any(base in texts or basename(base) == basename(dirname(base)) for base in bases)
