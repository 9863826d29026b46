"""One tracker's results on one benchmark: which files they are, in the layouts of the field's tools, and the boxes,
times and scores in them."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from posixpath import basename, dirname, join
from typing import Any, NamedTuple

import numpy as np

from lib.data.datasets.record import SIDE_FILES
from lib.data.files.texts import decode_text, parse_rows
from lib.data.types import Sequence
from lib.evaluation.results.folder import MANIFEST_FILE
from lib.evaluation.results.result_files import Files, is_skipped
from lib.evaluation.results.sequence_names import known_names, sequence_name, shares_name
from lib.runtime.json_text import parse_json

# Endings of files with a score for each frame: ours, pytracking's and VOT's.
SCORE_FILES = ("_scores", "_object_presence_scores", "_confidence")
_TIMES = "times"  # beside the boxes, in the got10k toolkit
_REMEDY = "track the sequence again, or get the file again"

logger = logging.getLogger(__name__)


class MissingResultError(ValueError):
    """A sequence has no result."""


class BoxFile(NamedTuple):
    """A file of boxes: the folder of its results (``root``), its ``name``, the sequence as it is ``written`` there, the
    number of the tracker's run, and the files of times and of scores that belong to it, or ""."""

    root: str
    name: str
    written: str
    repetition: int = 1
    times: str = ""
    scores: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class ResultSet:
    """One tracker's results on one benchmark, in one folder (``root``, "" is the top) of the files at ``place``, which
    ``contents`` read.

    ``files`` are the box files by sequence. ``manifest`` belongs to our own results; it is None for others. ``damage``
    is the fault of the manifest, or of a zip, which has no contents then. Where the tracker was run several times on
    each sequence, ``repetition`` is the number of the run.
    """

    benchmark: str
    place: Path
    root: str = ""
    contents: Files = field(default_factory=dict)
    files: dict[str, list[BoxFile]] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None
    damage: str = ""
    label: str = ""
    repetition: int = 1

    @property
    def source(self) -> Path:
        """The folder of the results; of a zip, the zip with the folder behind it."""
        return self.place / self.root

    @property
    def producer(self) -> str:
        """Whether the results are ours or others'."""
        return "others" if self.manifest is None else "tracking-lib"

    def names(self) -> tuple[str, ...]:
        """The benchmark's sequences with results, complete or not, in its order; all by name where it has no list."""
        known = known_names(self.benchmark) if self.manifest is None else None
        return tuple(sorted(self.files) if known is None else (name for name in known if name in self.files))

    def boxes(self, sequence: Sequence) -> np.ndarray:
        """The boxes in a sequence's file: float64 ``[M, 4]`` xywh in pixels.

        M may differ from the number of frames, and a value may be NaN or negative: the protocols decide about these.
        Raises ``MissingResultError`` if there is no file, and ``ValueError`` naming file and line for one that is empty
        or holds anything but four numbers a line, for a last line that was cut short, for two files of one sequence,
        and for results of ours that do not begin with the sequence's first box: those are of other data of that name.
        """
        file = self._file(sequence.name)
        if file is None:
            which = f", repetition {self.repetition}" if sequence.name in self.files else ""
            raise MissingResultError(f"{self.source}: has no result of {sequence.name}{which}")
        boxes = self._rows(file.name, 4, len(sequence.boxes))
        if len(boxes) == 0:
            raise ValueError(f"{self.place / file.name}: is empty; {_REMEDY}")
        given = sequence.boxes[:1]  # none of a sequence whose dataset is not on this disk
        if self.manifest is not None and len(given) and not np.array_equal(boxes[0], given[0]):
            raise ValueError(
                f"{self.place / file.name}: begins elsewhere than the sequence's first box; track the sequence again"
            )
        return boxes

    def seconds(self, name: str) -> np.ndarray | None:
        """Seconds of each frame of a sequence, float64 ``[M]``, the first for taking the template; None without a file
        of times. ``ValueError`` for a damaged one."""
        file = self._file(name)
        if not (file and file.times):
            return None
        columns = self._rows(file.times, None if self.manifest is None else 1)
        # The got10k toolkit writes a column for each repetition, other tools a single one.
        return columns[:, min(self.repetition, columns.shape[1]) - 1] if columns.size else None

    def frame_scores(self, name: str) -> np.ndarray | None:
        """The tracker's own score of each frame of a sequence, float64 ``[M]``; None without a file of scores.
        ``ValueError`` for a damaged one."""
        file = self._file(name)
        return self._rows(file.scores, 1)[:, 0] if file and file.scores else None

    def mean_seconds(self) -> float | None:
        """Mean seconds a frame, without each sequence's first frame, over the sequences with a file of times.

        None without any, and if one is damaged, which is logged: the mean of the rest would be of other frames.
        """
        total, frames = 0.0, 0
        for name in self.names():
            try:
                seconds = self.seconds(name)
            except ValueError as error:
                logger.warning("%s: no speed is reported: %s", self.source, error)
                return None
            if seconds is not None:
                tracked = seconds[1:][seconds[1:] > 0]
                total, frames = total + float(tracked.sum()), frames + len(tracked)
        return total / frames if frames else None

    def repetitions(self) -> "tuple[ResultSet, ...]":
        """Each of the tracker's runs as a set of its own; for most trackers this one alone.

        The got10k toolkit reports the mean of their AO, which pools the frames of all.
        """
        numbers = sorted({file.repetition for files in self.files.values() for file in files})
        if numbers == [1]:
            return (self,)
        return tuple(replace(self, label=f"{self.label}_{number:03d}", repetition=number) for number in numbers)

    def _file(self, name: str) -> BoxFile | None:
        chosen = [file for file in self.files.get(name, ()) if file.repetition == self.repetition]
        if len(chosen) > 1:
            one, other = (self.place / file.name for file in chosen[:2])
            raise ValueError(f"{name} has two results, {one} and {other}; move one of them away")
        return chosen[0] if chosen else None

    def _rows(self, name: str, columns: int | None, frames: int = 0) -> np.ndarray:
        """The numbers of a file. Ours end every line; others may omit the end of the last of ``frames`` lines."""
        file = self.place / name
        text = decode_text(self.contents[name](), file)
        ended = self.manifest is not None or text.count("\n") + 1 < frames
        return parse_rows(text, columns, file, _REMEDY, ended)


def find_sets(contents: Files, benchmark: str, place: Path) -> list[ResultSet]:
    """The result sets of the files at ``place`` that have a sequence of the benchmark, by root.

    Boxes lie in ``<sequence>.txt`` (ours, pytracking, OSTrack, GRM, pysot, the got10k toolkit), also of several
    benchmarks in one folder, or in ``<sequence>/<sequence>_001.txt`` (GOT-10k) with further repetitions beside it. A
    folder with a manifest of ours is one set; it is left out if the manifest states another benchmark.
    """
    names = [name for name in contents if not any(map(is_skipped, name.split("/")))]
    manifests = (name for name in names if basename(name) == MANIFEST_FILE)
    sets = {own.root: own for name in manifests if (own := _own_set(contents, name, benchmark, place))}
    ours = set(map(PurePosixPath, sets))
    texts = {name[: -len(".txt")]: name for name in names if name.lower().endswith(".txt")}
    beneath = {folder for folder in set(map(dirname, texts)) if not ours.isdisjoint(PurePosixPath(folder).parents)}
    for path in texts:
        file = _box_file(path, texts)
        if file is None or dirname(path) in beneath:  # in a folder below one of ours
            continue
        found = sets.setdefault(file.root, ResultSet(benchmark, place, file.root, contents))
        if found.manifest is not None and not file.times and path.endswith(SIDE_FILES):
            continue  # ours have times: these belong to a sequence whose boxes are not written yet
        name = None if found.manifest is not None else sequence_name(file.written, benchmark)
        found.files.setdefault(name or file.written, []).append(file)
    for each in sets.values():
        # Where a folder holds sequences of one name of two benchmarks, keep those spelled like this benchmark's.
        for sequence, files in each.files.items():
            each.files[sequence] = [file for file in files if not shares_name(file.written, benchmark)] or files
    return [sets[root] for root in sorted(sets) if _is_of_benchmark(sets[root])]


def _box_file(path: str, texts: Mapping[str, str]) -> BoxFile | None:
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


def _is_of_benchmark(found: ResultSet) -> bool:
    if found.manifest is None:
        return bool(found.names())
    return found.manifest.get("benchmark", found.benchmark) == found.benchmark  # a damaged manifest states none


def _own_set(contents: Files, name: str, benchmark: str, place: Path) -> ResultSet | None:
    """Our own results; None if the manifest is of another program."""
    root = dirname(name)
    try:
        manifest = parse_json(contents[name]())
    except ValueError as error:
        damage = f"{place / name}: cannot be read ({error}); repair it or move it away"
        return ResultSet(benchmark, place, root, contents, manifest={}, damage=damage)
    if not isinstance(manifest, dict) or "checkpoint_sha256" not in manifest or "benchmark" not in manifest:
        return None
    return ResultSet(benchmark, place, root, contents, manifest=manifest)
