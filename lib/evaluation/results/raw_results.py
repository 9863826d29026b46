"""Results of trackers on disk, ours and those of other tools: found by name or path, read, never changed."""

import difflib
import glob
import logging
import re
from collections import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import filterfalse, permutations
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lib.config.paths import user_path
from lib.data.datasets.registry import DATASETS
from lib.data.files.texts import decode_text, parse_rows
from lib.evaluation.benchmarks import BENCHMARKS, find_benchmark
from lib.evaluation.metrics.protocols import Annotation
from lib.evaluation.metrics.scoring import MissingResultError
from lib.evaluation.results.archives import Archive
from lib.evaluation.results.result_files import OURS, BoxFile, Folder, FoundSet, find_sets

logger = logging.getLogger(__name__)

_SHOWN = 5  # names in a message
_REMEDY = "track the sequence again, or get the file again"
# Folders that name a dataset, not a tracker; letters and digits alone, in small letters.
_DATASETS = {re.sub(r"[^a-z0-9]", "", name) for name in (*DATASETS, *BENCHMARKS)} | {
    *(name for dataset in DATASETS.values() for name in dataset.folders), "results", "trackingresults", "rawresults",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ResultSet:
    """One tracker's results on one benchmark.

    Where the tracker was run several times on each sequence, ``repetition`` is the number of the run.
    """

    label: str
    benchmark: str
    repetition: int = 1
    _found: FoundSet = field(repr=False, kw_only=True)

    @property
    def source(self) -> Path:
        """The folder of the results; of a zip, the zip with the folder behind it."""
        return self._found.source

    @property
    def manifest(self) -> Mapping[str, Any] | None:
        """The manifest of our own results, None for others."""
        return self._found.manifest

    @property
    def producer(self) -> str:
        """Whether the results are ours or others'."""
        return "others" if self.manifest is None else OURS

    def names(self) -> tuple[str, ...]:
        """The benchmark's sequences with results, complete or not, in the benchmark's order."""
        return self._found.names(self.benchmark)

    def boxes(self, annotation: Annotation) -> np.ndarray:
        """The boxes in a sequence's file: float64 ``[M, 4]`` xywh in pixels.

        M may differ from the number of frames, and a value may be NaN or negative: the protocols decide about these.
        Raises ``MissingResultError`` if there is no file, and ``ValueError`` naming file and line for one that is empty
        or holds anything but four numbers a line, for a last line that was cut short, for two files of one sequence,
        and for results of ours that do not begin with the sequence's first box: those are of other data of that name.
        """
        file = self._file(annotation.name)
        boxes = self._rows(file.name, 4, len(annotation.boxes))
        if len(boxes) == 0:
            raise ValueError(f"{self._found.place / file.name}: is empty; {_REMEDY}")
        given = annotation.boxes[:1]  # none of a sequence whose dataset is not on this disk
        if self.manifest is not None and len(given) and not np.array_equal(boxes[0], given[0]):
            raise ValueError(
                f"{self._found.place / file.name}: begins elsewhere than the sequence's first box; track the sequence "
                "again"
            )
        return boxes

    def seconds(self, name: str) -> np.ndarray | None:
        """Seconds of each frame of a sequence, float64 ``[M]``, the first for taking the template; None without a file
        of times. ``ValueError`` for a damaged one."""
        try:
            times = self._file(name).times
        except MissingResultError:
            return None
        if not times:
            return None
        columns = self._rows(times, None if self.manifest is None else 1)
        # The got10k toolkit writes a column for each repetition, other tools a single one.
        return columns[:, min(self.repetition, columns.shape[1]) - 1] if columns.size else None

    def frame_scores(self, name: str) -> np.ndarray | None:
        """The tracker's own score of each frame of a sequence, float64 ``[M]``; None without a file of scores.
        ``ValueError`` for a damaged one."""
        try:
            scores = self._file(name).scores
        except MissingResultError:
            return None
        return self._rows(scores, 1)[:, 0] if scores else None

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
        numbers = self._found.repetitions()
        if numbers == [1]:
            return (self,)
        return tuple(replace(self, label=f"{self.label}_{number:03d}", repetition=number) for number in numbers)

    def _file(self, name: str) -> BoxFile:
        files = self._found.files.get(name, [])
        chosen = [file for file in files if file.repetition == self.repetition]
        if not chosen:
            which = f", repetition {self.repetition}" if files else ""
            raise MissingResultError(f"{self.source}: has no result of {name}{which}")
        if len(chosen) > 1:
            one, other = (self._found.place / file.name for file in chosen[:2])
            raise ValueError(f"{name} has two results, {one} and {other}; move one of them away")
        return chosen[0]

    def _rows(self, name: str, columns: int | None, frames: int = 0) -> np.ndarray:
        """The numbers of a file. Ours end every line; others may omit the end of the last of ``frames`` lines."""
        file = self._found.place / name
        text = decode_text(self._found.tree.read(name), file)
        ended = self.manifest is not None or text.count("\n") + 1 < frames
        return parse_rows(text, columns, file, _REMEDY, ended)


def open_result_set(path: Path, benchmark: str) -> ResultSet:
    """The results of one tracker in a folder, a zip, or a folder in a zip (``raw.zip/grm_vitb``).

    Read as they are: our folder with its manifest; ``<sequence>.txt`` of pytracking, OSTrack, GRM, pysot and the got10k
    toolkit, also of several benchmarks in one folder; ``<sequence>/<sequence>_001.txt`` of GOT-10k (repetition 1, see
    ``ResultSet.repetitions``); archives made for TrackingNet's and GOT-10k's servers; each at the top or in folders
    below it. Names may be spelled as these tools do (``sequence_name``). The label is the folder's name. Raises
    ``ValueError`` if there is no such place, and unless one folder of it has results on the benchmark.
    """
    find_benchmark(benchmark)
    found = _sets_at(path, benchmark)
    if not found:
        raise ValueError(f"{path}: no result of a sequence of {benchmark} (<sequence>.txt) in it; correct the path")
    if len(found) > 1:
        folders = _some(str(one.source) for one in found)
        raise ValueError(f"{path}: results of {benchmark} lie in several folders; name one of {folders}")
    return _result_set(found[0], benchmark, path)


def find_result_sets(output: Path, benchmark: str, wanted: abc.Sequence[str]) -> list[ResultSet]:
    """The results below ``output`` with the wanted names, ours and those of others, in folders and in zips.

    A name is that of a folder anywhere in the path of the results, or of several with ``/`` between: ``grm_vitb`` (all
    checkpoints of the experiment, and others' folder of that name), ``grm_vitb/epoch_0300``, ``epoch_0300-1a2b3c4d``,
    ``raw/GRM``; ``*``, ``?`` and ``[...]`` match parts of one. A path works too, also outside ``output``. Each set
    comes once, in the order of the names. Its label is its path below ``output``, or below the given path outside,
    without the folders that name a dataset; so a tracker has one label on all benchmarks. Raises ``ValueError`` for a
    name without results, with the nearest ones, and for a damaged archive or manifest among the wanted.
    """
    find_benchmark(benchmark)
    candidates = _candidates(output, benchmark) if output.is_dir() else []
    chosen: dict[Path, ResultSet] = {}
    for name in wanted:
        matching = {one.source: (one, output) for one in candidates if _has_name(one, name, output)}
        for path in [] if matching else _paths(name, output):
            below = [one for one in candidates if one.source.resolve().is_relative_to(path.resolve())]
            top = output if below else path
            if not below:
                below = _candidates(path, benchmark) if path.is_dir() else _sets_at(path, benchmark)
            matching |= {one.source: (one, top) for one in below}
        if not matching:
            raise ValueError(_nothing(name, output, benchmark, candidates))
        for source, (one, top) in matching.items():
            if source not in chosen:
                chosen[source] = _result_set(one, benchmark, top)
    for one, other in permutations(chosen.values(), 2):
        # Results in a folder of another's are no second run of it, and the name does not decide between them.
        if one.source in other.source.parents and (shared := set(one.names()) & set(other.names())):
            raise ValueError(
                f"{min(shared)} has two results, in {one.source} and in {other.source}; move one of them away"
            )
    return list(chosen.values())


def _candidates(folder: Path, benchmark: str) -> list[FoundSet]:
    """All results on the benchmark below a folder, and the zips there that cannot be read."""
    tree = Folder(folder)
    candidates = find_sets(tree, benchmark, folder)
    folders = {parent for name in tree.names() for parent in PurePosixPath(name).parents}
    for name in tree.names():
        if not name.lower().endswith(".zip"):
            continue
        if PurePosixPath(name[: -len(".zip")]) in folders:
            logger.info("%s: not looked into, as it is unpacked beside", folder / name)
            continue
        try:
            candidates += find_sets(Archive(folder / name), benchmark, folder / name)
        except ValueError as error:
            candidates.append(FoundSet(folder / name, damage=str(error)))
    return candidates


def _sets_at(path: Path, benchmark: str) -> list[FoundSet]:
    """The results on the benchmark in a folder, whose zips are not opened, in a zip, or in a folder in a zip."""
    if path.is_dir():
        return find_sets(Folder(path), benchmark, path)
    archive = path if path.is_file() else _zip_above(path)
    if archive is None:
        raise ValueError(f"{path}: no such folder or zip; correct the path of the results")
    return [one for one in find_sets(Archive(archive), benchmark, archive) if one.source.is_relative_to(path)]


def _has_name(found: FoundSet, name: str, output: Path) -> bool:
    """Whether the name is that of folders in the path or the label of results below ``output``, one after the other; of
    ours, also of experiment and checkpoint."""
    patterns = [part for part in name.strip("/").split("/") if part not in ("", ".")]
    parts = _parts_below(found, output)
    ways = [parts, [part.removesuffix(".zip") for part in parts], result_label(found.source, output).split("/")]
    if found.manifest:
        ways.append([str(found.manifest.get("experiment")), str(found.manifest.get("label"))])
    return bool(patterns) and any(
        all(map(fnmatchcase, parts[start:], patterns))
        for parts in ways
        for start in range(len(parts) - len(patterns) + 1)
    )


def _parts_below(found: FoundSet, output: Path) -> list[str]:
    return list(found.source.relative_to(output).parts) or [output.name]


def _paths(name: str, output: Path) -> list[Path]:
    """The paths that a path or a pattern matches, from the current folder or else from the output folder."""
    for path in (user_path(name), output / name):
        if glob.has_magic(name):
            found = [Path(one) for one in sorted(glob.glob(str(path)))]
        else:
            found = [path] if path.exists() or _zip_above(path) else []
        if found:
            return found
    return []


def _zip_above(path: Path) -> Path | None:
    return next((parent for parent in path.parents if parent.suffix.lower() == ".zip" and parent.is_file()), None)


def _result_set(found: FoundSet, benchmark: str, top: Path) -> ResultSet:
    if found.damage:
        raise ValueError(found.damage)
    return ResultSet(result_label(found.source, top), benchmark, _found=found)


def result_label(source: Path, top: Path) -> str:
    """The path below ``top``, or else its last folder, without the folders that name a dataset."""
    parts = [part.removesuffix(".zip") for part in source.absolute().parts]
    depth = len(top.absolute().parts)
    above, below = (list(filterfalse(_names_dataset, folders)) for folders in (parts[:depth], parts[depth:]))
    return "/".join(below or above[-1:])


def _names_dataset(folder: str) -> bool:
    return re.sub(r"[^a-z0-9]", "", folder.lower()) in _DATASETS


def _nothing(name: str, output: Path, benchmark: str, candidates: list[FoundSet]) -> str:
    parts = [_parts_below(one, output) for one in candidates]
    if not parts:
        return (
            f"{name}: there are no results on {benchmark} in {output}; make some with tracking/test.py --dataset "
            f"{benchmark}, or put a folder or zip of others' results there"
        )
    whole = ["/".join(each) for each in parts]
    shown = {part: text for each, text in zip(parts, whole, strict=True) for part in each}
    shown |= {text: text for text in whole}
    near = [shown[one] for one in difflib.get_close_matches(name, shown, n=_SHOWN, cutoff=0.5)]
    listed = _some(dict.fromkeys(near) or whole)
    return f"{name}: no results on {benchmark} have that name in {output}; {'nearest' if near else 'there'}: {listed}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
