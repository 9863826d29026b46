"""Archives for the servers of GOT-10k and TrackingNet: made from results, or checked that others made."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import numpy as np

from lib.config.paths import Paths
from lib.evaluation.benchmarks import find_benchmark, read_what_is_readable
from lib.evaluation.metrics.protocols import Annotation
from lib.evaluation.metrics.scoring import MissingResultError
from lib.evaluation.results.archives import ArchiveError, read_members
from lib.evaluation.results.raw_results import ResultSet, find_result_sets
from lib.evaluation.results.sequence_names import known_names
from lib.evaluation.results.submission_check import LAYOUTS, Check, Expected, Finding, check_files, refused_archive
from lib.runtime.files import replacing

# 1/10000 pixel: at most 0.001 percent points of the overlap of a target of 10 px. GOT-10k's toolkit writes 3 digits,
# pytracking 2 for TrackingNet, whose devkit rounds to whole pixels (metrics.py).
BOX_FORMAT = "%.4f"
TIME_FORMAT = "%.8f"  # of GOT-10k's toolkit (got10k/experiments/got10k.py)
# Of every file in the archive, so that the same results are the same bytes: the earliest time a zip can state.
_TIME = (1980, 1, 1, 0, 0, 0)

logger = logging.getLogger(__name__)


def official_names(benchmark: str) -> tuple[str, ...]:
    """The sequences whose results the server wants; ``ValueError`` for a benchmark that no archive is sent for."""
    if benchmark not in LAYOUTS:
        raise ValueError(f"{benchmark}: no server takes archives of it; they are made for {' and '.join(LAYOUTS)}")
    return known_names(benchmark)


def expected_sequences(benchmark: str, paths: Paths) -> dict[str, Expected]:
    """What is known of each sequence of the benchmark, from the dataset on this disk where it is there.

    A dataset that is missing or cannot be read leaves the official names alone, which is logged; a sequence that cannot
    be read, such as one without one of its frames, has its ``fault``.
    """
    expected = dict.fromkeys(official_names(benchmark), Expected())
    try:
        root = paths.dataset_root(find_benchmark(benchmark).dataset)
        readable = read_what_is_readable(benchmark, root, paths.cache)
    except ValueError as error:
        logger.warning("rows cannot be held against frames: %s", error)
        return expected
    known = {sequence.name: Expected(len(sequence), sequence.boxes[0]) for sequence in readable.sequences}
    known |= {name: Expected(fault=fault) for name, fault in readable.unreadable.items()}
    return expected | {name: known[name] for name in expected if name in known}


def find_results(output: Path, benchmark: str, tracker: str) -> ResultSet:
    """The one result set that a name or path stands for, see ``find_result_sets``; ``ValueError`` if there are more."""
    found = find_result_sets(output, benchmark, [tracker])
    if len(found) > 1:
        sources = ", ".join(str(results.source) for results in found)
        raise ValueError(f"--tracker {tracker}: stands for {len(found)} results of {benchmark}; name one of {sources}")
    return found[0]


def make_submission(results: ResultSet, expected: dict[str, Expected], file: Path) -> Check:
    """Write an archive of the results to ``file``, if the check that is returned is good; otherwise nothing is written.

    The results are read alone. Raises ``ValueError`` for a ``file`` that is there already or lies among the results,
    and ``OSError`` if it cannot be written.
    """
    _check_target(file, results.source)
    files, findings = {}, []
    for name, wanted in expected.items():
        findings += _pack(results, name, wanted, files)
    check = check_files(results.benchmark, str(results.source), files, expected, findings)
    if check.good:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_archive(file, files)
    return check


def check_submission(file: Path, benchmark: str, expected: dict[str, Expected]) -> Check:
    """Check an archive that somebody made; it is read in memory, nothing is unpacked."""
    try:
        files = read_members(file)
    except ArchiveError as error:
        return refused_archive(benchmark, str(file), expected, str(error))
    return check_files(benchmark, str(file), files, expected)


def _check_target(file: Path, source: Path) -> None:
    if file.suffix != ".zip":
        raise ValueError(f"--out {file}: is no .zip; the servers take no other archive")
    if file.exists():
        raise ValueError(f"--out {file}: is there already; remove it or name another file")
    if file.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"--out {file}: lies among the results, which stay as they are; name a file elsewhere")


def _pack(results: ResultSet, name: str, wanted: Expected, files: dict[str, bytes]) -> list[Finding]:
    """Add a sequence's files to ``files``; what cannot be read is told, what is missing ``check_files`` tells.

    Of a tracker that was run several times, GOT-10k takes all runs, TrackingNet the first.
    """
    layout = LAYOUTS[results.benchmark]
    given = np.empty((0, 4)) if wanted.first is None else wanted.first[None]
    annotation = Annotation(name, results.benchmark, given)
    columns = []
    for run in results.repetitions() if layout.folders else [results]:
        try:
            boxes = run.boxes(annotation)
            columns.append(run.seconds(name) if layout.folders else None)
        except MissingResultError:
            continue  # the toolkit stops repeating where it sees that nothing changes
        except ValueError as error:
            return [Finding("unreadable result", name, str(error))]
        files[layout.boxes_file(name, run.repetition)] = _text(boxes, BOX_FORMAT)
    if columns and all(column is not None for column in columns):
        files[layout.time_file(name)] = _text(np.stack(columns, axis=1), TIME_FORMAT)
    return []


def _text(rows: np.ndarray, number: str) -> bytes:
    line = ",".join([number] * rows.shape[1]) + "\n"
    return "".join(line % tuple(row) for row in rows.tolist()).encode()


def _write_archive(file: Path, files: dict[str, bytes]) -> None:
    with replacing(file) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # of Unix, whatever system this is
            archive.writestr(entry, files[name])
