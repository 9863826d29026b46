"""Results of trackers on disk, ours and those of other tools: found by name or path, read, never changed."""

import glob
import logging
import re
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain, filterfalse, permutations
from pathlib import Path, PurePosixPath

from lib.config.paths import user_path
from lib.config.schema import suggest
from lib.data.datasets.registry import DATASETS
from lib.evaluation.benchmarks import BENCHMARKS, find_benchmark
from lib.evaluation.results.result_files import archive_files, folder_files
from lib.evaluation.results.result_set import ResultSet, find_sets

logger = logging.getLogger(__name__)

# Folders that name a dataset, not a tracker; letters and digits alone, in small letters.
_DATASETS = {re.sub(r"[^a-z0-9]", "", name) for name in (*DATASETS, *BENCHMARKS)} | {
    *(name for dataset in DATASETS.values() for name in dataset.folders), "results", "trackingresults", "rawresults",
}  # fmt: skip


def open_result_set(path: Path, benchmark: str) -> ResultSet:
    """The results of one tracker in a folder, a zip, or a folder in a zip (``raw.zip/grm_vitb``), at its top or in a
    folder below. The label is the folder's name.

    Raises ``ValueError`` if there is no such place, and unless one folder of it has results on the benchmark.
    """
    find_benchmark(benchmark)
    found = _sets_at(path, benchmark)
    if not found:
        raise ValueError(f"{path}: no result of a sequence of {benchmark} (<sequence>.txt) in it; correct the path")
    if len(found) > 1:
        raise ValueError(
            f"{path}: results of {benchmark} lie in {len(found)} folders; name one, such as {found[0].source}"
        )
    return _labelled(found[0], path)


def find_result_sets(output: Path, benchmark: str, name: str) -> list[ResultSet]:
    """The results below ``output`` with that name, ours and those of others, in folders and in zips.

    A name is that of a folder anywhere in the path of the results, or of several with ``/`` between: ``grm_vitb`` (all
    checkpoints of the experiment, and others' folder of that name), ``grm_vitb/epoch_0300``, ``epoch_0300-1a2b3c4d``,
    ``raw/GRM``; ``*``, ``?`` and ``[...]`` match parts of one. A path works too, also outside ``output``. The label is
    the path below ``output``, or below the given path outside, without the folders that name a dataset; so a tracker
    has one label on all benchmarks. Raises ``ValueError`` for a name without results, with the nearest ones, and for a
    damaged archive or manifest of that name.
    """
    find_benchmark(benchmark)
    candidates = _candidates(output, benchmark) if output.is_dir() else []
    found = {one.source: _labelled(one, output) for one in candidates if _has_name(one, name, output)}
    for path in [] if found else _paths(name):
        below = [one for one in candidates if one.source.resolve().is_relative_to(path.resolve())]
        elsewhere = _candidates if path.is_dir() else _sets_at
        top = output if below else path
        found |= {one.source: _labelled(one, top) for one in below or elsewhere(path, benchmark)}
    if not found:
        raise ValueError(_nothing(name, output, benchmark, candidates))
    for one, other in permutations(found.values(), 2):
        # Results in a folder of another's are no second run of it, and the name does not decide between them.
        if one.source in other.source.parents and (shared := set(one.names()) & set(other.names())):
            raise ValueError(
                f"{min(shared)} has two results, in {one.source} and in {other.source}; move one of them away"
            )
    return list(found.values())


def _candidates(folder: Path, benchmark: str) -> list[ResultSet]:
    """All results on the benchmark below a folder, and the zips there that cannot be read."""
    contents = folder_files(folder)
    candidates = find_sets(contents, benchmark, folder)
    folders = {parent for name in contents for parent in PurePosixPath(name).parents}
    for name in (name for name in contents if name.lower().endswith(".zip")):
        archive = folder / name
        if PurePosixPath(name[: -len(".zip")]) in folders:
            logger.info("%s: not looked into, as it is unpacked beside", archive)
            continue
        try:
            candidates += find_sets(archive_files(archive), benchmark, archive)
        except ValueError as error:
            candidates.append(ResultSet(benchmark, archive, damage=str(error)))
    return candidates


def _sets_at(path: Path, benchmark: str) -> list[ResultSet]:
    """The results on the benchmark in a folder, whose zips are not opened, in a zip, or in a folder in a zip."""
    if path.is_dir():
        return find_sets(folder_files(path), benchmark, path)
    archive = path if path.is_file() else _zip_above(path)
    if archive is None:
        raise ValueError(f"{path}: no such folder or zip; correct the path of the results")
    return [one for one in find_sets(archive_files(archive), benchmark, archive) if one.source.is_relative_to(path)]


def _has_name(found: ResultSet, name: str, output: Path) -> bool:
    """Whether the name is that of folders in the path or the label of results below ``output``, one after the other; of
    ours, also of experiment and checkpoint."""
    patterns = [part for part in name.strip("/").split("/") if part not in ("", ".")]
    ways = [_parts_below(found, output), result_label(found.source, output).split("/")]
    if found.manifest:
        ways.append([str(found.manifest.get("experiment")), str(found.manifest.get("label"))])
    return bool(patterns) and any(
        all(map(fnmatchcase, parts[start:], patterns))
        for parts in ways
        for start in range(len(parts) - len(patterns) + 1)
    )


def _parts_below(found: ResultSet, output: Path) -> list[str]:
    return list(found.source.relative_to(output).parts) or [output.name]


def _paths(name: str) -> list[Path]:
    path = user_path(name)
    if glob.has_magic(name):
        return [Path(one) for one in sorted(glob.glob(str(path)))]
    return [path] if path.exists() or _zip_above(path) else []


def _zip_above(path: Path) -> Path | None:
    return next((parent for parent in path.parents if parent.suffix.lower() == ".zip" and parent.is_file()), None)


def _labelled(found: ResultSet, top: Path) -> ResultSet:
    if found.damage:
        raise ValueError(found.damage)
    return replace(found, label=result_label(found.source, top))


def result_label(source: Path, top: Path) -> str:
    """The path below ``top``, or else its last folder, without the folders that name a dataset."""
    parts = [part.removesuffix(".zip") for part in source.absolute().parts]
    depth = len(top.absolute().parts)
    above, below = (list(filterfalse(_names_dataset, folders)) for folders in (parts[:depth], parts[depth:]))
    return "/".join(below or above[-1:])


def _names_dataset(folder: str) -> bool:
    return re.sub(r"[^a-z0-9]", "", folder.lower()) in _DATASETS


def _nothing(name: str, output: Path, benchmark: str, candidates: Iterable[ResultSet]) -> str:
    parts = [_parts_below(one, output) for one in candidates]
    if not parts:
        return (
            f"{name}: there are no results on {benchmark} in {output}; make some with tracking/test.py --dataset "
            f"{benchmark}, or put a folder or zip of others' results there"
        )
    known = [*("/".join(each) for each in parts), *chain.from_iterable(parts)]
    return f"{name}: no results on {benchmark} have that name in {output}; {suggest(name, known)}"
