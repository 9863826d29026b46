"""Archives for the servers of GOT-10k and TrackingNet: made from results, or checked if made elsewhere."""

import logging
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib.config.paths import Paths
from lib.evaluation.benchmarks import find_benchmark, read_what_is_readable
from lib.evaluation.metrics.protocols import Annotation
from lib.evaluation.metrics.scoring import MissingResultError
from lib.evaluation.results.archives import Archive, ArchiveError
from lib.evaluation.results.raw_results import ResultSet, find_result_sets
from lib.evaluation.results.sequence_names import known_names
from lib.evaluation.results.submission_check import LAYOUTS, Check, Expected, Finding, check_files, refused_archive
from lib.runtime.files import replacing
from lib.runtime.program import RequestError

# 1/10000 pixel: at most 0.001 percent points of the overlap of a target of 10 px. GOT-10k's toolkit writes 3 digits,
# pytracking 2 for TrackingNet, whose devkit rounds to whole pixels (metrics.py).
BOX_FORMAT = "%.4f"
TIME_FORMAT = "%.8f"  # of GOT-10k's toolkit (got10k/experiments/got10k.py)
# Of every file, so that the same results give the same bytes: the earliest time that a zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)

logger = logging.getLogger(__name__)


def submit(benchmark: str, tracker: str | None, out: Path | None, check: Path | None, paths: Paths) -> Check:
    """Make the archive ``out`` from the results of ``tracker``, or check the archive ``check``.

    Raises ``RequestError`` for any other choice of the three, else as ``make_submission`` does.
    """
    if bool(check) == bool(tracker) or bool(tracker) != bool(out):
        raise RequestError("name --tracker and --out to make an archive, or --check alone")
    expected = expected_sequences(benchmark, paths)
    if check:
        return check_submission(check, benchmark, expected)
    made = make_submission(find_results(paths.output, benchmark, tracker), expected, out)
    outcome = f"written, for {find_benchmark(benchmark).server}" if made.good else "not written"
    return replace(made, outcome=f"{out}: {outcome}")


def official_names(benchmark: str) -> tuple[str, ...]:
    """The sequences whose results the server expects; ``ValueError`` for a benchmark without such a server."""
    if benchmark not in LAYOUTS:
        raise ValueError(f"{benchmark}: no server takes archives of it; they are made for {' and '.join(LAYOUTS)}")
    return known_names(benchmark)


def expected_sequences(benchmark: str, paths: Paths) -> dict[str, Expected]:
    """Frames and first box of each official sequence, from the dataset on this disk.

    If the dataset is missing or unreadable, only the names are known, which is logged. A sequence that cannot be read,
    such as one with a lost frame, has its ``fault``.
    """
    expected = dict.fromkeys(official_names(benchmark), Expected())
    try:
        root = paths.dataset_root(find_benchmark(benchmark).dataset)
        readable = read_what_is_readable(benchmark, root, paths.cache)
    except ValueError as error:
        logger.warning("rows cannot be compared with frames: %s", error)
        return expected
    known = {sequence.name: Expected(len(sequence), sequence.boxes[0]) for sequence in readable.sequences}
    known |= {name: Expected(fault=fault) for name, fault in readable.unreadable.items()}
    return expected | {name: known[name] for name in expected if name in known}


def find_results(output: Path, benchmark: str, tracker: str) -> ResultSet:
    """The one result set of a name or path, see ``find_result_sets``; ``ValueError`` if there are several."""
    found = find_result_sets(output, benchmark, [tracker])
    if len(found) > 1:
        sources = ", ".join(str(results.source) for results in found)
        raise ValueError(f"--tracker {tracker}: stands for {len(found)} results of {benchmark}; name one of {sources}")
    return found[0]


def make_submission(results: ResultSet, expected: dict[str, Expected], file: Path) -> Check:
    """Write an archive of the results to ``file`` if the returned check is good; otherwise write nothing.

    The results are only read. Raises ``ValueError`` for a ``file`` that exists or lies among the results, and
    ``OSError`` if it cannot be written.
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
    """Check an archive that somebody made, in memory."""
    try:
        archive = Archive(file)
        files = {name: archive.read(name) for name in archive.names()}
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
    """Add a sequence's files to ``files``; returns a finding for unreadable ones. ``check_files`` reports missing ones.

    If a tracker was run several times, GOT-10k gets all runs, TrackingNet the first.
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
            continue  # the toolkit stops repeating a deterministic tracker
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
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Unix, on every system
            archive.writestr(entry, files[name])
