"""Results as they lie on disk, ours and those that other tools wrote: found by name or path, read, never changed."""

from __future__ import annotations

import difflib
import glob
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lib.config.paths import user_path
from lib.data.datasets.texts import decode_text, parse_rows
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.protocols import Annotation
from lib.evaluation.metrics.scoring import MissingResultError
from lib.evaluation.results.archives import Archive, open_archive
from lib.evaluation.results.result_files import (
    DEPTH,
    BoxFile,
    Folder,
    FoundSet,
    Tree,
    find_sets,
    folder_label,
    producer_of,
)

logger = logging.getLogger(__name__)

_SHOWN = 5  # names in a message
_REMEDY = "track the sequence again, or get the file again"


@dataclass(frozen=True, eq=False)
class ResultSet:
    """One tracker's results on one benchmark.

    ``source`` is the folder, or the zip with the folder in it. ``producer`` says whose form the files have.
    ``manifest`` is that of our own results, None for others. Where the tracker was run several times a sequence,
    ``repetition`` is which of them this is.
    """

    label: str
    benchmark: str
    source: Path
    producer: str
    manifest: Mapping[str, Any] | None = None
    repetition: int = 1
    _tree: Tree = field(repr=False, kw_only=True)
    _place: Path = field(repr=False, kw_only=True)
    _found: FoundSet = field(repr=False, kw_only=True)

    def names(self) -> tuple[str, ...]:
        """The benchmark's sequences that there are results of, complete or not, in the benchmark's order."""
        return self._found.names(self.benchmark)

    def boxes(self, annotation: Annotation) -> np.ndarray:
        """The boxes of a sequence as they stand in its file: float64 ``[M, 4]`` xywh in pixels.

        M may differ from the number of frames, and a value may be NaN or negative: what then is the protocols' to say.
        Raises ``MissingResultError`` if there is no file, and ``ValueError`` naming file and line for one that is empty
        or holds anything but four numbers a line, for a last line that was cut short, for two files of one sequence,
        and for results of ours that begin elsewhere than the sequence: those are of other data under the same name.
        """
        file = self._file(annotation.name)
        boxes = self._rows(file.name, 4, len(annotation.boxes))
        if len(boxes) == 0:
            raise ValueError(f"{self._place / file.name}: is empty; {_REMEDY}")
        given = annotation.boxes[:1]  # none of a sequence whose dataset is not on this disk
        if self.manifest is not None and len(given) and not np.array_equal(boxes[0], given[0]):
            raise ValueError(
                f"{self._place / file.name}: begins elsewhere than the sequence's first box; track the sequence again"
            )
        return boxes

    def seconds(self, name: str) -> np.ndarray | None:
        """Seconds of each frame of a sequence, float64 ``[M]``, the first for taking the template; None if nobody kept
        them. ``ValueError`` for a file that is damaged."""
        try:
            times = self._file(name).times
        except MissingResultError:
            return None
        if not times:
            return None
        columns = self._rows(times, None if self.manifest is None else 1)
        # One column a repetition in the got10k toolkit; a single one where a tool kept but one.
        return columns[:, min(self.repetition, columns.shape[1]) - 1] if columns.size else None

    def frame_scores(self, name: str) -> np.ndarray | None:
        """The tracker's own score of each frame of a sequence, float64 ``[M]``; None if nobody kept them.
        ``ValueError`` for a file that is damaged."""
        try:
            scores = self._file(name).scores
        except MissingResultError:
            return None
        return self._rows(scores, 1)[:, 0] if scores else None

    def mean_seconds(self) -> float | None:
        """Mean seconds a frame, each sequence's first frame excluded, over the sequences whose times were kept.

        None where none were, and where a file of times is damaged, which is logged: the rest would be other frames.
        """
        total, frames = 0.0, 0
        for name in self.names():
            try:
                seconds = self.seconds(name)
            except ValueError as error:
                logger.warning("%s: no speed is stated: %s", self.source, error)
                return None
            if seconds is not None:
                tracked = seconds[1:][seconds[1:] > 0]
                total, frames = total + float(tracked.sum()), frames + len(tracked)
        return total / frames if frames else None

    def repetitions(self) -> tuple[ResultSet, ...]:
        """Each of the tracker's runs as a set of its own; of most trackers this one alone.

        The mean of their AO is what the got10k toolkit reports, which pools the frames of all.
        """
        numbers = sorted({file.repetition for files in self._found.files.values() for file in files})
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
            one, other = (self._place / file.name for file in chosen[:2])
            raise ValueError(f"{name} has two results, {one} and {other}; move one of them away")
        return chosen[0]

    def _rows(self, name: str, columns: int | None, frames: int = 0) -> np.ndarray:
        """The numbers of a file; ours end every line, others may leave out the end of the last of ``frames`` lines."""
        file = self._place / name
        text = decode_text(self._tree.read(name), file)
        ended = self.manifest is not None or text.count("\n") + 1 < frames
        return parse_rows(text, columns, file, _REMEDY, ended)


def open_result_set(path: Path, benchmark: str, label: str | None = None) -> ResultSet:
    """The results of one tracker in a folder, a zip, or a folder in a zip (``raw.zip/grm_vitb``).

    Read as they are: our folder with its manifest; ``<sequence>.txt`` of pytracking, OSTrack, GRM, pysot and the got10k
    toolkit, also of several benchmarks in one folder; ``<sequence>/<sequence>_001.txt`` of GOT-10k, of which repetition
    1 is taken (see ``ResultSet.repetitions``); archives made for TrackingNet's and GOT-10k's servers; each of them at
    the top or in folders below it. Names may be spelled as these tools do (``sequence_name``). ``label`` is the
    folder's name unless given. Raises ``ValueError`` if there is no such place, nothing of the benchmark in it, or
    results in more than one folder of it.
    """
    find_benchmark(benchmark)
    tree, place, inner = _open_tree(Path(path))
    found = [one for one in find_sets(tree, benchmark, place) if _lies_in(one.root, inner)]
    other = [one for one in found if _is_of_other(one, benchmark)]
    found = [one for one in found if one not in other]
    if not found and other:
        stated = other[0].manifest["benchmark"]
        raise ValueError(f"{path}: holds results on {stated}, not {benchmark}; name a folder of {benchmark}")
    if not found:
        texts = [name for name in tree.names() if name.lower().endswith(".txt") and _lies_in(name, inner)]
        there = (
            f"the files there are named {_some(PurePosixPath(name).name for name in texts)}" if texts else "no texts"
        )
        raise ValueError(f"{path}: no result of a sequence of {benchmark} (<sequence>.txt) in it; {there}")
    if len(found) > 1:
        twice = _same_sequence(found, benchmark)
        folders = _some(str(place / one.root) for one in found)
        if twice:
            sequence, one, second = twice
            raise ValueError(
                f"{path}: {sequence} has two results, {place / one} and {place / second}; move one of them away, or "
                f"name one of the folders with results: {folders}"
            )
        raise ValueError(f"{path}: results of {benchmark} lie in several folders; name one of {folders}")
    return _result_set(found[0], benchmark, tree, place, label)


def find_result_sets(output: Path, benchmark: str, wanted: Many[str]) -> list[ResultSet]:
    """The results below ``output`` that bear the wanted names, ours and those of others, in folders and in zips.

    A name is that of a folder anywhere in the place of the results, or of several with ``/`` between: ``grm_vitb`` (all
    checkpoints of the experiment, and others' folder of that name), ``grm_vitb/epoch_0300``,
    ``epoch_0300-1a2b3c4d``, ``raw/GRM``; ``*``, ``?`` and ``[...]`` stand for parts of one. A path works too, also
    outside ``output``. Each set comes once, in the order of the names. Raises ``ValueError`` for a name that nothing
    bears, with the nearest that there are, and for a damaged archive or manifest that does.
    """
    find_benchmark(benchmark)
    candidates = _candidates(output, benchmark) if output.is_dir() else []
    chosen: dict[tuple[Path, str], _Candidate] = {}
    for name in wanted:
        matching = [candidate for candidate in candidates if candidate.bears(name)]
        matching = matching or _at_path(name, output, benchmark, candidates)
        if not matching:
            raise ValueError(_nothing(name, output, benchmark, candidates))
        for candidate in matching:
            if candidate.damage:
                raise ValueError(candidate.damage)
            chosen.setdefault(candidate.key, candidate)
    _refuse_nested(list(chosen.values()), benchmark)
    labels = _distinct_labels([*candidates, *chosen.values()])
    return [candidate.open(benchmark, labels[key]) for key, candidate in chosen.items()]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Results that may be wanted, or an archive that cannot be read, by the folders of their place."""

    parts: tuple[str, ...]
    place: Path
    damage: str = ""
    tree: Tree | None = None
    found: FoundSet | None = None

    def bears(self, name: str) -> bool:
        """Whether the name is that of folders of the place, one after the other."""
        patterns = [part for part in name.strip("/").split("/") if part not in ("", ".")]
        ways = [self.parts, tuple(part.removesuffix(".zip") for part in self.parts)]
        manifest = self.found.manifest if self.found else None
        if manifest:
            ways.append((str(manifest.get("experiment")), str(manifest.get("label"))))
            ways.append((str(manifest.get("experiment")), self.parts[-1]))
        return bool(patterns) and any(
            all(map(fnmatchcase, parts[start:], patterns))
            for parts in ways
            for start in range(len(parts) - len(patterns) + 1)
        )

    @property
    def source(self) -> Path:
        """Where the results lie."""
        return self.place / self.found.root if self.found else self.place

    @property
    def key(self) -> tuple[Path, str]:
        """What tells these results from all others."""
        return self.place, self.found.root if self.found else ""

    def open(self, benchmark: str, label: str) -> ResultSet:
        """The results."""
        return _result_set(self.found, benchmark, self.tree, self.place, label)


def _candidates(folder: Path, benchmark: str) -> list[_Candidate]:
    tree = Folder(folder)
    if not tree.whole:
        logger.warning("%s: holds too much to look at all of it; results not found by name are by their path", folder)
    candidates = list(_candidates_in(tree, folder, (), benchmark))
    folders = {name.rpartition("/")[0] for name in tree.names()}
    folders |= {str(parent) for name in folders for parent in PurePosixPath(name).parents}
    for name in tree.names():
        if not name.lower().endswith(".zip"):
            continue
        if name[: -len(".zip")] in folders:
            logger.info("%s: not looked into, as it is unpacked beside", folder / name)
            continue
        parts = tuple(name.split("/"))
        try:
            archive = open_archive(folder / name)
        except ValueError as error:
            candidates.append(_Candidate(parts, folder / name, damage=str(error)))
        else:
            inside = list(_candidates_in(archive, folder / name, parts, benchmark))
            candidates += inside
            if not inside:
                archive.close()
    return candidates


def _candidates_in(tree: Tree, place: Path, parts: tuple[str, ...], benchmark: str) -> Iterator[_Candidate]:
    for found in find_sets(tree, benchmark, place):
        if not _is_of_other(found, benchmark):
            own = tuple(part for part in found.root.split("/") if part)
            yield _Candidate((*parts, *own) or (place.name,), place, found.damage, tree, found)


def _at_path(name: str, output: Path, benchmark: str, candidates: list[_Candidate]) -> list[_Candidate]:
    """Those that lie at a path or below it: of the candidates, or else outside the output folder."""
    chosen = []
    for path in _paths(name, output):
        below = [one for one in candidates if one.source.resolve().is_relative_to(path.resolve())]
        if not below and path.is_dir():
            below = _candidates(path, benchmark)
        elif not below:
            tree, place, inner = _open_tree(path)
            found = _candidates_in(tree, place, (place.name,), benchmark)
            below = [one for one in found if _lies_in(one.found.root, inner)]
        chosen += below
    return chosen


def _paths(name: str, output: Path) -> list[Path]:
    """What a path or pattern of paths names, from the current folder or else from the output folder."""
    for path in (user_path(name), output / name):
        if glob.has_magic(name):
            found = [Path(one) for one in sorted(glob.glob(str(path)))]
        else:
            found = [path] if path.exists() or _zip_above(path) else []
        if found:
            return found
    return []


def _open_tree(path: Path) -> tuple[Folder | Archive, Path, str]:
    """The files at a path, where their names begin, and the folder in a zip that the path leads to, or ""."""
    if path.is_dir():
        return Folder(path), path, ""
    archive = path if path.is_file() else _zip_above(path)
    if archive is None:
        raise ValueError(f"{path}: no such folder or zip; correct the path of the results")
    return open_archive(archive), archive, "" if archive == path else path.relative_to(archive).as_posix()


def _zip_above(path: Path) -> Path | None:
    return next((parent for parent in path.parents if parent.suffix.lower() == ".zip" and parent.is_file()), None)


def _lies_in(name: str, folder: str) -> bool:
    return not folder or name == folder or name.startswith(f"{folder}/")


def _is_of_other(found: FoundSet, benchmark: str) -> bool:
    return bool(found.manifest) and found.manifest["benchmark"] != benchmark


def _result_set(found: FoundSet, benchmark: str, tree: Tree, place: Path, label: str | None) -> ResultSet:
    if found.damage:
        raise ValueError(found.damage)
    source = place / found.root
    return ResultSet(
        label=label or _own_label(found, source),
        benchmark=benchmark,
        source=source,
        producer=producer_of(found, benchmark, tree, place),
        manifest=found.manifest,
        _tree=tree,
        _place=place,
        _found=found,
    )


def _own_label(found: FoundSet, source: Path) -> str:
    if found.manifest is None:
        return folder_label(source)
    return f"{found.manifest.get('experiment')}/{found.manifest.get('label')}"


def _same_sequence(found: list[FoundSet], benchmark: str) -> tuple[str, str, str] | None:
    """A sequence that two of the sets have, with its file in each."""
    first: dict[str, str] = {}
    for one in found:
        for name in one.names(benchmark):
            file = one.files[name][0].name
            if name in first:
                return name, first[name], file
            first[name] = file
    return None


def _refuse_nested(chosen: list[_Candidate], benchmark: str) -> None:
    """Results in a folder of another's are no second run of it: which of them is meant, the name does not say."""
    for outer in chosen:
        for inner in chosen:
            if inner is outer or outer.source not in inner.source.parents:
                continue
            twice = _same_sequence([outer.found, inner.found], benchmark)
            if twice:
                sequence, one, second = twice
                raise ValueError(
                    f"{sequence} has two results, {outer.place / one} and {inner.place / second}; move one of the "
                    "folders away"
                )


def _distinct_labels(candidates: Iterable[_Candidate]) -> dict[tuple[Path, str], str]:
    """Labels by ``_Candidate.key`` with as many folders before them as tell them apart; ours with the digits of their
    settings. They hang on what lies there, not on what was asked for, so a report of some has the labels of all."""
    readable = {one.key: one for one in candidates if one.found and not one.damage}
    labels = {key: _own_label(one.found, one.source) for key, one in readable.items()}
    for depth in range(1, DEPTH):
        times = Counter(labels.values())
        for key, one in readable.items():
            if times[labels[key]] == 1:
                continue
            if one.found.manifest is not None and depth == 1:
                labels[key] = f"{one.found.manifest.get('experiment')}/{one.source.name}"
            else:
                labels[key] = "/".join(one.source.parts[-1 - depth :])
    return labels


def _nothing(name: str, output: Path, benchmark: str, candidates: list[_Candidate]) -> str:
    whole = ["/".join(candidate.parts) for candidate in candidates]
    if not whole:
        return (
            f"{name}: there are no results on {benchmark} in {output}; make some with tracking/test.py --dataset "
            f"{benchmark}, or put a folder or zip of others' results there"
        )
    shown = {part: text for candidate, text in zip(candidates, whole, strict=True) for part in candidate.parts}
    shown |= {text: text for text in whole}
    near = [shown[one] for one in difflib.get_close_matches(name, shown, n=_SHOWN, cutoff=0.5)]
    listed = _some(dict.fromkeys(near) or whole)
    return f"{name}: no results on {benchmark} bear that name in {output}; {'nearest' if near else 'there'}: {listed}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
