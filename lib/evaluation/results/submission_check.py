"""Checks of the files of a submission against the expectations of the benchmark's server."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from lib.data.files.texts import is_cut, parse_numbers, text_lines
from lib.runtime.escapes import printable_lines

FIRST_BOX_TOLERANCE = 1.0  # pixels, so that boxes truncated to integers still equal the given one
_REPETITIONS = 15  # of VOT, the most of any toolkit; GOT-10k runs 3
_SHOWN = 3  # examples for each kind of finding


class Layout(NamedTuple):
    """The files that a server expects: with ``folders`` one a sequence with boxes and times, else boxes at the root."""

    folders: bool

    def boxes_file(self, name: str, repetition: int = 1) -> str:
        """The file of a sequence's boxes in the archive, for GOT-10k of one of several repetitions."""
        return f"{name}/{name}_{repetition:03d}.txt" if self.folders else f"{name}.txt"

    def time_file(self, name: str) -> str | None:
        """The file of a sequence's times in the archive, None where the server expects none."""
        return f"{name}/{name}_time.txt" if self.folders else None

    def repetitions(self, name: str, files: Container[str]) -> list[str]:
        """The ``files`` with boxes of further repetitions (``_002``, ``_003`` ...), which GOT-10k allows."""
        numbered = (self.boxes_file(name, number) for number in range(2, _REPETITIONS + 1))
        return [file for file in numbered if file in files] if self.folders else []


LAYOUTS = {"got10k_test": Layout(folders=True), "trackingnet": Layout(folders=False)}


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
    """The findings about a submission: ``sequences`` are expected, the frames of ``counted`` are known, ``rows`` is the
    number of boxes. ``outcome`` is a last line about the archive, if any."""

    benchmark: str
    source: str
    sequences: int
    counted: int
    rows: int
    findings: tuple[Finding, ...]
    outcome: str = ""

    @property
    def good(self) -> bool:
        """Whether it can be sent."""
        return not any(finding.fatal for finding in self.findings)

    def text(self) -> str:
        """A line for each kind of finding with its count and examples, and the verdict below."""
        lines = [f"{self.source}: {self.benchmark}, {self.sequences} sequences expected, {self.rows} boxes"]
        ordered = sorted(self.findings, key=lambda finding: (not finding.fatal, finding.kind))
        groups = [(kind, list(group)) for kind, group in groupby(ordered, key=lambda finding: finding.kind)]
        width = max((len(kind) for kind, _ in groups), default=0)
        for kind, group in groups:
            level = "ERROR" if group[0].fatal else "warning"
            lines.append(f"{level:<7}  {kind:<{width}}  {len(group):>5}  {_examples(group)}")
        if self.counted < self.sequences:
            lines.append(
                f"rows are not counted in {self.sequences - self.counted} of {self.sequences} sequences: "
                "their frames are not on this disk"
            )
        errors = sum(finding.fatal for finding in self.findings)
        lines.append(f"not fit to be sent: {errors} error(s)" if errors else "fit to be sent")
        return printable_lines([*lines, *filter(None, [self.outcome])])


def check_files(
    benchmark: str,
    source: str,
    files: Mapping[str, bytes],
    expected: Mapping[str, Expected],
    found: Iterable[Finding] = (),
) -> Check:
    """Check the files of an archive, by their names in it, against the expected sequences; ``found`` are findings to
    add.

    Strict, because the servers report little: GOT-10k's gives no score for blanks between numbers (got-10k/toolkit,
    issue 21); TrackingNet's takes boxes of zeros where the name of a second file ends like a video's (metrics.py of its
    devkit); a NaN makes GOT-10k's mean NaN. A box without a size overlaps with nothing by either toolkit, which is the
    tracker's fault and only a warning.
    """
    layout = LAYOUTS[benchmark]
    findings = list(found)
    reported = {finding.where for finding in findings}
    files, nested = _without_nested_folder(layout, files, expected)
    if nested:
        findings.append(Finding("nested folder", nested, "the server looks at the root; zip what is in the folder"))
    known, rows = set(), 0
    for name, wanted in expected.items():
        if wanted.fault:
            findings.append(Finding("faulty sequence", name, wanted.fault))
        boxes_file, time_file = layout.boxes_file(name), layout.time_file(name)
        repetitions = layout.repetitions(name, files)
        own = [boxes_file, *repetitions, *([time_file] if time_file else [])]
        known.update(own)
        if not any(file in files for file in own):
            findings += [] if name in reported else [Finding("missing sequence", name)]
            continue
        findings += [Finding("missing file", file) for file in (boxes_file, time_file) if file and file not in files]
        for file in (file for file in (boxes_file, *repetitions) if file in files):
            boxes, wrong = _read_table(file, files[file], range(4, 5))
            findings += wrong
            if boxes is not None:
                findings += _check_boxes(file, boxes, wanted)
                rows += len(boxes) if file == boxes_file else 0
                if wanted.frames is None:
                    wanted = wanted._replace(frames=len(boxes))  # the other files of the sequence have to agree
        if time_file in files:
            findings += _check_times(time_file, files[time_file], wanted.frames, 1 + len(repetitions))
    findings += [Finding("unknown file", file) for file in sorted(set(files) - known)]
    return Check(benchmark, source, len(expected), _counted(expected), rows, tuple(findings))


def refused_archive(benchmark: str, source: str, expected: Mapping[str, Expected], reason: str) -> Check:
    """The check of an archive that cannot be read safely."""
    return Check(benchmark, source, len(expected), _counted(expected), 0, (Finding("bad archive", reason),))


def _counted(expected: Mapping[str, Expected]) -> int:
    return sum(wanted.frames is not None for wanted in expected.values())


def _examples(group: list[Finding]) -> str:
    shown = [f"{finding.where}: {finding.detail}" if finding.detail else finding.where for finding in group[:_SHOWN]]
    return "; ".join(shown) + (" ..." if len(group) > _SHOWN else "")


def _without_nested_folder(
    layout: Layout, files: Mapping[str, bytes], expected: Mapping[str, Expected]
) -> tuple[Mapping[str, bytes], str]:
    """The files with the folder around all expected ones as their root, and that folder's name; "" for none."""
    wanted = {layout.boxes_file(name) for name in expected}
    if wanted & set(files):
        return files, ""
    depth = 2 if layout.folders else 1
    split = {file: "/".join(file.split("/")[-depth:]) for file in files}
    folders = Counter(file[: -len(end)] for file, end in split.items() if end in wanted)
    if not folders:
        return files, ""
    [(folder, _)] = folders.most_common(1)
    return {file.removeprefix(folder): data for file, data in files.items()}, folder


def _read_table(file: str, data: bytes, columns: range) -> tuple[np.ndarray | None, list[Finding]]:
    """float64 ``[N, columns]`` from lines of numbers with commas between; None with the findings for any other."""
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None, [Finding("no numbers", file, "is no text")]
    lines = text_lines(text)
    if not lines:
        return None, [Finding("empty file", file)]
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        kind, row = _read_line(line)
        if kind:
            return None, [Finding(kind, file, f"line {number} is {line[:60]!r}")]
        rows.append(row)
        if len(row) not in columns or len(row) != len(rows[0]):
            wanted = " or ".join(map(str, columns)) if len(columns) < 3 else f"{columns[0]} to {columns[-1]}"
            return None, [Finding("wrong columns", file, f"line {number} has {len(row)} numbers, not {wanted}")]
    if is_cut(text):
        return None, [Finding("line cut short", file, f"line {len(lines)} is {lines[-1][:60]!r}, the end of the file")]
    return np.array(rows), []


def _read_line(line: str) -> tuple[str, list[float]]:
    """The kind of finding if the line is not finite numbers with commas between, else ""; and its numbers."""
    try:
        row = parse_numbers(line.replace(";", ","))
    except ValueError:
        return "no numbers", []
    if not np.isfinite(row).all():
        return "NaN or infinite", row
    return "wrong delimiter" if line.count(",") + 1 != len(row) else "", row


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


def _check_times(file: str, data: bytes, frames: int | None, repetitions: int) -> Iterator[Finding]:
    """Seconds a frame in one column, or in one for each repetition as GOT-10k's toolkit writes them."""
    seconds, wrong = _read_table(file, data, range(1, repetitions + 1))
    yield from wrong
    if seconds is None:
        return
    if frames is not None and len(seconds) != frames:
        yield Finding("wrong number of rows", file, f"{len(seconds)} times for {frames} frames")
    if (seconds < 0).any():
        line = np.flatnonzero((seconds < 0).any(axis=1))[0] + 1
        yield Finding("negative time", file, f"line {line}")
    elif not (seconds > 0).any():
        yield Finding("no time above 0", file, "the server can state no speed", fatal=False)
