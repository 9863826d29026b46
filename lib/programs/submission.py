"""The body of `tracking/submit.py`: archives for the servers of GOT-10k and TrackingNet, made from results, or checked
if made elsewhere."""

import logging
import zipfile
from collections import abc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.config.paths import Paths
from lib.data.files.texts import parse_rows, text_lines
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.results.lookup import find_result_sets
from lib.evaluation.results.result_files import archive_files
from lib.evaluation.results.result_set import MissingResultError, ResultSet
from lib.evaluation.results.sequence_names import known_names
from lib.programs.testing import read_chosen
from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import replacing
from lib.runtime.program import RequestError, Result, TextResult

# 1/10000 pixel: at most 0.001 percent points of the overlap of a target of 10 px. GOT-10k's toolkit writes 3 digits,
# pytracking 2 for TrackingNet, whose devkit rounds to whole pixels (metrics.py).
BOX_FORMAT = "%.4f"
TIME_FORMAT = "%.8f"  # of GOT-10k's toolkit (got10k/experiments/got10k.py)
# Of every file, so that the same results give the same bytes: the earliest time that a zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)
FIRST_BOX_TOLERANCE = 1.0  # pixels, so that boxes truncated to integers still equal the given one
_REPETITIONS = 15  # of VOT, the most of any toolkit; GOT-10k runs 3
_SHOWN = 3  # examples for each kind of finding

logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """The files of a sequence that a server expects: patterns of the name and the number of the repetition. Without
    ``times`` it expects neither times nor repetitions."""

    boxes: str
    times: str | None = None


LAYOUTS = {
    "got10k_test": Layout("{0}/{0}_{1:03d}.txt", "{0}/{0}_time.txt"),
    "trackingnet": Layout("{0}.txt"),
}


class Expected(NamedTuple):
    """The number of frames and the first box (float64 ``[4]``, xywh in pixels) of a sequence without ground truth; None
    where the dataset is not on this disk, or where the sequence cannot be read for the reason ``fault``."""

    frames: int | None = None
    first: np.ndarray | None = None
    fault: str = ""


class Finding(NamedTuple):
    """A remark on one file or sequence; a ``fatal`` one makes the submission unfit."""

    kind: str
    where: str
    detail: str = ""
    fatal: bool = True


@dataclass(frozen=True)
class Check:
    """The findings about a submission: the number of expected ``sequences``, and of boxes found (``rows``)."""

    benchmark: str
    source: str
    sequences: int
    rows: int
    findings: tuple[Finding, ...]

    @property
    def good(self) -> bool:
        """Whether it can be sent."""
        return not any(finding.fatal for finding in self.findings)

    def text(self) -> str:
        """A line for each kind of finding with its count and examples, and the verdict below."""
        lines = [f"{self.source}: {self.benchmark}, {self.sequences} sequences expected, {self.rows} boxes"]
        kinds: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            kinds.setdefault(("ERROR" if finding.fatal else "warning", finding.kind), []).append(finding)
        width = max((len(kind) for _, kind in kinds), default=0)
        for (level, kind), found in sorted(kinds.items()):
            shown = [f"{each.where}: {each.detail}" if each.detail else each.where for each in found[:_SHOWN]]
            more = " ..." if len(found) > _SHOWN else ""
            lines.append(f"{level:<7}  {kind:<{width}}  {len(found):>5}  {'; '.join(shown)}{more}")
        errors = sum(finding.fatal for finding in self.findings)
        return printable_lines([*lines, f"not fit to be sent: {errors} error(s)" if errors else "fit to be sent"])


def submit(benchmark: str, tracker: str | None, out: Path | None, check: Path | None, paths: Paths) -> Result:
    """Make the archive ``out`` from the results of ``tracker``, or check the archive ``check``.

    Raises ``RequestError`` for any other choice of the three, else as ``make_submission`` and ``check_submission`` do.
    """
    if bool(check) == bool(tracker) or bool(tracker) != bool(out):
        raise RequestError("name --tracker and --out to make an archive, or --check alone")
    expected = expected_sequences(benchmark, paths)
    if check:
        return check_submission(check, benchmark, expected)
    found = find_result_sets(paths.output, benchmark, tracker)
    if len(found) > 1:
        sources = ", ".join(str(results.source) for results in found)
        raise ValueError(f"--tracker {tracker}: matches {len(found)} results of {benchmark}; name one of {sources}")
    made = make_submission(found[0], expected, out)
    outcome = f"written, for {find_benchmark(benchmark).server}" if made.good else "not written"
    return TextResult(f"{made.text()}\n{printable(str(out))}: {outcome}", made.good)


def expected_sequences(benchmark: str, paths: Paths) -> dict[str, Expected]:
    """Frames and first box of each sequence whose results the server expects, from the dataset on this disk.

    If the dataset is missing or unreadable, only the names are known, which is logged. A sequence that cannot be read,
    such as one with a lost frame, has its ``fault``. Raises ``ValueError`` for a benchmark without such a server.
    """
    if benchmark not in LAYOUTS:
        raise ValueError(f"{benchmark}: no server takes archives of it; they are made for {' and '.join(LAYOUTS)}")
    expected = dict.fromkeys(known_names(benchmark), Expected())
    try:
        readable = read_chosen(paths, benchmark)
    except ValueError as error:
        logger.warning("rows cannot be compared with frames: %s", error)
        return expected
    known = {sequence.name: Expected(len(sequence), sequence.boxes[0]) for sequence in readable.sequences}
    known |= {name: Expected(fault=fault) for name, fault in readable.unreadable.items()}
    return expected | {name: known[name] for name in expected if name in known}


def make_submission(results: ResultSet, expected: Mapping[str, Expected], file: Path) -> Check:
    """Write an archive of the results to ``file`` if the returned check is good; otherwise write nothing.

    The results are only read. Raises ``ValueError`` for a ``file`` that exists or lies among the results, and
    ``OSError`` if it cannot be written.
    """
    if file.suffix != ".zip":
        raise ValueError(f"--out {file}: is not a .zip; the servers take no other archive")
    if file.exists():
        raise ValueError(f"--out {file}: is there already; remove it or name another file")
    if file.resolve().is_relative_to(results.source.resolve()):
        raise ValueError(f"--out {file}: lies among the results, which stay as they are; name a file elsewhere")
    files, findings = {}, []
    for name, wanted in expected.items():
        findings += _pack(results, name, wanted, files)
    check = check_files(results.benchmark, str(results.source), files, expected, findings)
    if check.good:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_archive(file, files)
    return check


def check_submission(file: Path, benchmark: str, expected: Mapping[str, Expected]) -> Check:
    """Check an archive that somebody made, in memory. Raises ``ValueError`` for one that cannot be read."""
    files = {name: read() for name, read in archive_files(file).items()}
    return check_files(benchmark, str(file), files, expected)


def check_files(
    benchmark: str,
    source: str,
    files: Mapping[str, bytes],
    expected: Mapping[str, Expected],
    found: abc.Sequence[Finding] = (),
) -> Check:
    """Check the files of an archive, by their names in it, against the expected sequences; ``found`` are findings to
    add.

    Strict, because the servers report little: GOT-10k's gives no score for blanks between numbers (got-10k/toolkit,
    issue 21); TrackingNet's takes boxes of zeros where the name of a second file ends like a video's (metrics.py of its
    devkit); a NaN makes GOT-10k's mean NaN. A box without a size overlaps with nothing by either toolkit, which is the
    tracker's fault and only a warning.
    """
    layout = LAYOUTS[benchmark]
    findings, known, rows = list(found), set(), 0
    if folder := _nested_folder(layout, files, expected):
        findings.append(Finding("nested folder", folder, "the server looks at the root; zip the content of the folder"))
        files = {file.removeprefix(folder): data for file, data in files.items()}
    for name, wanted in expected.items():
        if wanted.fault:
            findings.append(Finding("faulty sequence", name, wanted.fault))
        elif wanted.frames is None:
            findings.append(Finding("frames not on disk", name, fatal=False))
        runs = range(1, _REPETITIONS + 1 if layout.times else 2)
        boxes_files = [file for run in runs if (file := layout.boxes.format(name, run)) in files]
        required = [pattern.format(name, 1) for pattern in layout if pattern]
        known.update(boxes_files, required)
        if not boxes_files and not any(file in files for file in required):
            if all(finding.where != name for finding in found):
                findings.append(Finding("missing sequence", name))
            continue
        findings += [Finding("missing file", file) for file in required if file not in files]
        for file in boxes_files:
            boxes, wrong = _read_numbers(file, files[file], 4)
            findings += wrong
            if boxes is not None:
                findings += _check_boxes(file, boxes, wanted)
                rows += len(boxes) if file == required[0] else 0
                if wanted.frames is None:
                    wanted = wanted._replace(frames=len(boxes))  # the other files of the sequence have to agree
        if layout.times and required[1] in files:
            findings += _check_times(required[1], files[required[1]], wanted.frames, max(1, len(boxes_files)))
    findings += [Finding("unknown file", file) for file in sorted(set(files) - known)]
    return Check(benchmark, source, len(expected), rows, tuple(findings))


def _pack(results: ResultSet, name: str, wanted: Expected, files: dict[str, bytes]) -> list[Finding]:
    """Add a sequence's files to ``files``: of a tracker that was run several times, GOT-10k gets all runs, TrackingNet
    the first. Returns a finding for unreadable ones."""
    layout = LAYOUTS[results.benchmark]
    given = np.empty((0, 4)) if wanted.first is None else wanted.first[None]
    sequence = Sequence(name, results.benchmark, (), given, np.ones(len(given), bool))
    columns = []
    for run in results.repetitions() if layout.times else [results]:
        try:
            boxes = run.boxes(sequence)
            columns.append(run.seconds(name) if layout.times else None)
        except MissingResultError:
            continue  # the toolkit stops repeating a deterministic tracker
        except ValueError as error:
            return [Finding("unreadable result", name, str(error))]
        files[layout.boxes.format(name, run.repetition)] = _text(boxes, BOX_FORMAT)
    if columns and all(column is not None for column in columns):
        files[layout.times.format(name)] = _text(np.stack(columns, axis=1), TIME_FORMAT)
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


def _nested_folder(layout: Layout, files: Iterable[str], expected: Iterable[str]) -> str:
    """The folder around the expected files; empty where one of them is at its place, or none is there."""
    wanted = [layout.boxes.format(name, 1) for name in expected]
    if any(name in files for name in wanted):
        return ""
    return next((file.removesuffix(name) for name in wanted for file in files if file.endswith(f"/{name}")), "")


def _read_numbers(file: str, data: bytes, columns: int | None) -> tuple[np.ndarray | None, list[Finding]]:
    """float64 ``[N, columns]`` of finite numbers with commas between them, without ``columns`` as many as the first
    line has; None with the finding for anything else."""
    try:
        # A byte order mark stays: the servers would misread it.
        text = data.decode().replace("\r\n", "\n")
        rows = parse_rows(text, columns, file, "write it again")
    except ValueError as error:
        return None, [Finding("unreadable file", file, str(error).removeprefix(f"{file}: "))]
    lines = text_lines(text)
    if not lines:
        return None, [Finding("unreadable file", file, "is empty")]
    for kind, wrong in (
        ("NaN or infinite", ~np.isfinite(rows).all(axis=1)),
        ("wrong delimiter", [line.count(",") + 1 != rows.shape[1] for line in lines]),
    ):
        if np.any(wrong):
            number = int(np.argmax(wrong))
            return None, [Finding(kind, file, f"line {number + 1} is {lines[number][:60]!r}")]
    return rows, []


def _check_boxes(file: str, boxes: np.ndarray, wanted: Expected) -> Iterator[Finding]:
    if wanted.frames is not None and len(boxes) != wanted.frames:
        yield Finding("wrong number of rows", file, f"{len(boxes)} for {wanted.frames} frames")
    without_size = np.flatnonzero((boxes[:, 2:] <= 0).any(axis=1))
    if len(without_size):
        first = without_size[0]
        detail = f"{len(without_size)}, line {first + 1} the first; they overlap with nothing"
        yield Finding("box without a size", file, detail, fatal=False)
    if wanted.first is not None and np.abs(boxes[0] - wanted.first).max() > FIRST_BOX_TOLERANCE:
        stated, given = (",".join(f"{number:g}" for number in box) for box in (boxes[0], wanted.first))
        yield Finding("first row is not the given box", file, f"{stated} instead of {given}", fatal=False)


def _check_times(file: str, data: bytes, frames: int | None, runs: int) -> Iterator[Finding]:
    """Seconds a frame in one column, or in one for each run as GOT-10k's toolkit writes them."""
    seconds, wrong = _read_numbers(file, data, None)
    yield from wrong
    if seconds is None:
        return
    if seconds.shape[1] > runs:
        yield Finding("unreadable file", file, f"has {seconds.shape[1]} columns for {runs} run(s)")
    if frames is not None and len(seconds) != frames:
        yield Finding("wrong number of rows", file, f"{len(seconds)} times for {frames} frames")
    if (seconds < 0).any():
        line = np.flatnonzero((seconds < 0).any(axis=1))[0] + 1
        yield Finding("negative time", file, f"line {line}")
    elif not (seconds > 0).any():
        yield Finding("no time above 0", file, "the server can state no speed", fatal=False)
