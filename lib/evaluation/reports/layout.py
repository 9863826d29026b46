"""Comparisons laid out in tables: trackers by score, by attribute, by sequence, and their differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from itertools import zip_longest
from typing import NamedTuple

from lib.evaluation.metrics.bootstrap import LEVEL, Bootstrap, difference_intervals
from lib.evaluation.metrics.confidence import Confidence
from lib.evaluation.reports.analysis import attribute_values, find_entry, score_names, sequence_differences
from lib.evaluation.reports.comparison import Comparison, Entry
from lib.evaluation.reports.remarks import remarks
from lib.evaluation.reports.tables import Cell, Column, Row, Table

Part = list[tuple[Comparison, str]]  # benchmarks, each with the protocol of its scores, that share a table


class _Score(NamedTuple):
    """What a column shows."""

    comparison: Comparison
    protocol: str
    name: str

    @property
    def column(self) -> Column:
        return Column(_group(self.comparison, self.protocol), self.name)

    def entry(self, label: str) -> Entry | None:
        return next((entry for entry in self.comparison.entries if entry.label == label), None)

    def cell(self, entry: Entry | None) -> Cell:
        found = entry.values(self.protocol) if entry else {}
        if self.name not in found:
            return Cell(None)
        ends = entry.intervals.get(self.protocol, {}).get(self.name, (None, None))
        return Cell(*found[self.name], *ends)


def score_tables(
    comparisons: Many[Comparison], scores: Many[str] = (), bootstrap: Bootstrap | None = None
) -> list[Table]:
    """Trackers in rows, the scores of the benchmarks side by side: one table where each benchmark has one protocol,
    else one for each protocol. ``scores`` restricts them; ``bootstrap`` is what the intervals were made by, if any.

    A tracker has no score where a protocol could not score every sequence; below the table stands which, and why.
    """
    tables = []
    for part in _parts(comparisons):
        columns = list(_columns(part, scores))
        if not columns:
            continue
        rows = [
            Row(label + _runs_in_words(part, label), tuple(column.cell(column.entry(label)) for column in columns))
            for label in _labels(comparisons)
        ]
        title = "Scores in percent"
        if any(cell.deviation is not None for row in rows for cell in row.cells):
            title += "; mean ± sample deviation over runs"
        if bootstrap:
            title += f"; [{100 * LEVEL:.0f} % interval over sequences, {bootstrap}]"
        tables.append(
            Table(
                _file_name("scores", part),
                title,
                "tracker",
                tuple(column.column for column in columns),
                tuple(rows),
                tuple(line for comparison, protocol in part for line in remarks(comparison, [protocol])),
                _warnings(part),
                best="column",
            )
        )
    return tables


def difference_tables(
    comparisons: Many[Comparison], bootstrap: Bootstrap, scores: Many[str] = (), against: str | None = None
) -> list[Table]:
    """How much each tracker's scores exceed those of ``against`` (the first tracker unless given), with paired
    intervals: both are scored on the same drawn sequences."""
    labels = _labels(comparisons)
    base = against or labels[0]
    tables = []
    for part in _parts(comparisons):
        columns = list(_columns(part, scores))
        if not columns:
            continue
        intervals = {
            (label, comparison.benchmark): difference_intervals(
                find_entry(comparison, label), find_entry(comparison, base), protocol, bootstrap
            )
            for comparison, protocol in part
            for label in {entry.label for entry in comparison.entries} - {base}
            if base in {entry.label for entry in comparison.entries}
        }
        rows = []
        for label in labels:
            if label != base:
                found = [intervals.get((label, column.comparison.benchmark), {}) for column in columns]
                cells = (
                    _difference(column, label, base, ends.get(column.name))
                    for column, ends in zip(columns, found, strict=True)
                )
                rows.append(Row(label, tuple(cells)))
        tables.append(
            Table(
                _file_name("differences", part),
                f"Difference from {base} in percent points [{100 * LEVEL:.0f} % interval over sequences, paired, "
                f"{bootstrap}]",
                "tracker",
                tuple(column.column for column in columns),
                tuple(rows),
                warnings=_warnings(part),
                signed=True,
            )
        )
    return tables


def attribute_tables(comparison: Comparison, scores: Many[str] = ()) -> list[Table]:
    """Attributes in rows, trackers in columns, a table for each protocol and score (the protocol's first unless
    ``scores`` names others): the score of the set of those sequences that have the attribute."""
    tables = []
    for column in _single_columns(comparison, scores):
        rows = []
        for short, names in comparison.attributes.items():
            parts = [attribute_values(entry, column.protocol, names) for entry in comparison.entries]
            cells = tuple(Cell(*part[column.name]) if column.name in part else Cell(None) for part in parts)
            rows.append(Row(f"{short} {comparison.attribute_names[short]} ({len(names)})", cells))
        whole = tuple(column.cell(entry)._replace(low=None, high=None) for entry in comparison.entries)
        rows.append(Row(f"all ({len(comparison.sequences)})", whole))
        tables.append(
            Table(
                f"attributes_{comparison.benchmark}_{column.protocol}_{column.name}",
                f"{column.name} in percent over the sequences with an attribute (how many)",
                "attribute",
                tuple(Column(column.column.group, entry.label) for entry in comparison.entries),
                tuple(rows),
                tuple(remarks(comparison, [column.protocol])),
                comparison.warnings,
                best="row",
            )
        )
    return tables


def sequence_tables(comparison: Comparison, first: str, second: str, scores: Many[str] = ()) -> list[Table]:
    """Sequences in rows by their difference between two trackers, a table for each protocol and score (the protocol's
    first unless ``scores`` names others). ``ValueError`` for a label that is not in the comparison."""
    tables = []
    for column in _single_columns(comparison, scores):
        rows = sequence_differences(comparison, column.protocol, column.name, first, second)
        tables.append(
            Table(
                f"sequences_{comparison.benchmark}_{column.protocol}_{column.name}",
                f"{column.name} in percent by sequence, {first} minus {second}",
                "sequence",
                tuple(Column(column.column.group, word) for word in (first, second, "difference")),
                tuple(Row(row.sequence, (Cell(row.first), Cell(row.second), Cell(row.value))) for row in rows),
                tuple(remarks(comparison, [column.protocol])),
                comparison.warnings,
            )
        )
    return tables


def confidence_tables(comparison: Comparison) -> list[Table]:
    """Trackers in rows with what their scores say, and the reliability curve of each with a row for a bin; none where
    the comparison has no confidence. Below the first table stands ``lost_below`` for each tracker, and why another has
    none."""
    known = {label: found for label, found in comparison.confidence.items() if not isinstance(found, str)}
    if not comparison.confidence:
        return []
    group = comparison.title
    columns = (
        *(Column(group, name) for name in ("AUROC", "on target", "absent")),
        Column(group, "lost_below", plain=True),
        *(Column(group, name) for name in ("lost found", "false alarms")),
    )
    rows = [Row(label, _confidence_cells(known.get(label))) for label in comparison.confidence]
    lines = [line for label, found in comparison.confidence.items() for line in _confidence_lines(label, found)]
    whole = Table(
        f"confidence_{comparison.benchmark}",
        "What the score says of the box (percent of frames; lost_below is a score)",
        "tracker",
        columns,
        tuple(rows),
        tuple(f"{comparison.benchmark}, {line}" for line in lines),
        comparison.warnings,
    )
    return [whole, *([_reliability_table(comparison, known)] if known else [])]


def _confidence_cells(found: Confidence | None) -> tuple[Cell, ...]:
    if found is None:
        return (Cell(None),) * 6
    threshold = found.threshold or (None, None, None)
    shares = (count / found.frames for count in (found.on, found.absent))
    return (Cell(found.auroc), *map(Cell, shares), *map(Cell, threshold))


def _confidence_lines(label: str, found: Confidence | str) -> list[str]:
    if isinstance(found, str):
        return [f"{label}: no confidence: {found}"]
    counts = f"{found.frames} frames, {found.on} on the target, {found.absent} absent"
    if found.threshold is None:
        line = f"{label}: {counts}; no threshold, as all of them are of one kind"
    elif found.for_absent:
        line = f"{label}: {counts}; best between absent frames and those on the target: lost_below: {_score(found)}"
    else:
        line = f"{label}: {counts}; best between an overlap above 0.5 and the rest: lost_below: {_score(found)}"
    return [line, *([f"{label}: left out: {found.left_out}"] if found.left_out else [])]


def _score(found: Confidence) -> str:
    return f"{found.threshold.value:.3g}"


def _reliability_table(comparison: Comparison, known: Mapping[str, Confidence]) -> Table:
    bins = max(len(found.reliability.counts) for found in known.values())
    rows = []
    for label, found in known.items():
        for words, values in (("mean score", found.reliability.scores), ("on target", found.reliability.shares)):
            cells = [Cell(value) for value in values.tolist()]
            rows.append(Row(f"{label}, {words}", (*cells, *[Cell(None)] * (bins - len(cells)))))
    return Table(
        f"reliability_{comparison.benchmark}",
        "Frames in bins by their score, the lowest first: mean score of a bin and its frames on the target, percent",
        "tracker",
        tuple(Column(comparison.title, str(number + 1)) for number in range(bins)),
        tuple(rows),
        warnings=comparison.warnings,
    )


def _parts(comparisons: Many[Comparison]) -> list[Part]:
    """Which benchmarks with which protocols share a table."""
    if all(len(comparison.protocols) == 1 for comparison in comparisons):
        return [[(comparison, comparison.protocols[0]) for comparison in comparisons]]
    names = dict.fromkeys(name for row in zip_longest(*(c.protocols for c in comparisons)) for name in row if name)
    return [[(each, name) for each in comparisons if name in each.protocols] for name in names]


def _columns(part: Part, scores: Many[str]) -> Iterator[_Score]:
    """Those of a benchmark without any scored sequence are one of dashes."""
    for comparison, protocol in part:
        known = score_names(comparison, protocol)
        for name in known:
            if not scores or name in scores:
                yield _Score(comparison, protocol, name)
        if not known:
            yield _Score(comparison, protocol, "no score")


def _single_columns(comparison: Comparison, scores: Many[str]) -> Iterator[_Score]:
    """Of each protocol the scores that were asked for, or its first."""
    for protocol in comparison.protocols:
        known = score_names(comparison, protocol)
        for name in [score for score in scores if score in known] or known[:1]:
            yield _Score(comparison, protocol, name)


def _difference(score: _Score, label: str, base: str, ends: tuple[float, float] | None) -> Cell:
    if ends is None:
        return Cell(None)
    return Cell(score.cell(score.entry(label)).value - score.cell(score.entry(base)).value, None, *ends)


def _labels(comparisons: Many[Comparison]) -> list[str]:
    return list(dict.fromkeys(entry.label for comparison in comparisons for entry in comparison.entries))


def _group(comparison: Comparison, protocol: str) -> str:
    return f"{comparison.title}, protocol {protocol}"


def _file_name(kind: str, part: Part) -> str:
    protocols = {protocol for _, protocol in part}
    return f"{kind}_{protocols.pop()}" if len(protocols) == 1 else kind


def _runs_in_words(part: Part, label: str) -> str:
    """How many runs a tracker has, if several; by benchmark where they differ."""
    runs = {each.benchmark: len(entry.runs) for each, _ in part for entry in each.entries if entry.label == label}
    if len(set(runs.values())) == 1:
        [count] = set(runs.values())
        return f" ({count} runs)" if count > 1 else ""
    words = ", ".join(f"{benchmark} {count}" for benchmark, count in runs.items())
    return f" (runs: {words})" if words else ""


def _warnings(part: Part) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warning for comparison, _ in part for warning in comparison.warnings))
