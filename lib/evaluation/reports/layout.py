"""Comparisons as tables: trackers by score, by attribute and by sequence, their differences and their confidence."""

from collections import abc
from itertools import zip_longest
from typing import NamedTuple

from lib.evaluation.metrics.confidence import Confidence
from lib.evaluation.reports.bootstrap import LEVEL, Bootstrap, difference_intervals
from lib.evaluation.reports.comparison import Comparison
from lib.evaluation.reports.remarks import remarks
from lib.evaluation.reports.tables import Cell, Column, Row, Table

Part = list[tuple[Comparison, str]]  # benchmarks that share a table, each with the protocol of its scores


class _Score(NamedTuple):
    """The score that a column shows."""

    comparison: Comparison
    protocol: str
    name: str

    @property
    def group(self) -> str:
        by = f"protocol {self.protocol}" if self.protocol else "scored by a server"
        return f"{self.comparison.title}, {by}"

    def cell(self, label: str) -> Cell:
        entry = self.comparison.entry(label)
        found = entry.values(self.protocol) if entry and self.protocol else {}
        if self.name not in found:
            return Cell(None)
        return Cell(*found[self.name], *entry.intervals.get(self.protocol, {}).get(self.name, (None, None)))


def score_tables(
    comparisons: abc.Sequence[Comparison],
    scores: abc.Sequence[str] = (),
    bootstrap: Bootstrap | None = None,
    counts: bool = False,
) -> list[Table]:
    """Trackers in rows, the scores of the benchmarks side by side: one table where each benchmark has one protocol,
    else one for each protocol.

    ``scores`` restricts the columns; ``bootstrap`` is the source of the intervals, if any; ``counts`` adds the number
    of scored sequences, and the speed where times are kept. A tracker has no score where a protocol could not score
    every sequence; the lines below the table name these sequences and the reasons.
    """
    tables = []
    for part in _parts(comparisons):
        columns = _columns(part, scores)
        rows = []
        for label in _labels(comparisons):
            cells = [column.cell(label) for column in columns]
            for comparison, protocol in part if counts else ():
                cells += _counts(comparison, protocol, label)
            rows.append(Row(label + _runs_in_words(part, label), tuple(cells)))
        title = "Scores in percent"
        if any(isinstance(cell, Cell) and cell.deviation is not None for row in rows for cell in row.cells):
            title += "; mean ± sample deviation over runs"
        if bootstrap:
            title += f"; [{100 * LEVEL:.0f} % interval over sequences, {bootstrap}]"
        heads = [Column(column.group, column.name) for column in columns]
        for comparison, protocol in part if counts else ():
            names = ("sequences", "frames/s")[: 2 if _has_times(comparison) else 1]
            heads += [Column(_Score(comparison, protocol, "").group, name) for name in names]
        below = [line for comparison, protocol in part for line in remarks(comparison, [protocol])]
        tables += [_table("scores", part, title, heads, rows, below=below, best="column")] if columns else []
    return tables


def difference_tables(
    comparisons: abc.Sequence[Comparison],
    bootstrap: Bootstrap,
    scores: abc.Sequence[str] = (),
    against: str | None = None,
) -> list[Table]:
    """The scores of each tracker minus those of ``against`` (the first tracker unless given), with paired intervals:
    both are scored on the same drawn sequences."""
    labels = _labels(comparisons)
    base = against or labels[0]
    title = (
        f"Difference from {base} in percent points [{100 * LEVEL:.0f} % interval over sequences, paired, {bootstrap}]"
    )
    tables = []
    for part in _parts(comparisons):
        columns = _columns(part, scores)
        rows = []
        for label in (label for label in labels if label != base):
            ends = {}
            for comparison, protocol in part:
                entries = comparison.entry(label), comparison.entry(base)
                if all(entries):
                    draws = bootstrap.draw(len(comparison.sequences))
                    ends[comparison.benchmark] = difference_intervals(*entries, protocol, draws)
            cells = []
            for column in columns:
                found = ends.get(column.comparison.benchmark, {}).get(column.name)
                value = column.cell(label).value - column.cell(base).value if found else None
                cells.append(Cell(value, None, *found) if found else Cell(None))
            rows.append(Row(label, tuple(cells)))
        heads = [Column(column.group, column.name) for column in columns]
        tables += [_table("differences", part, title, heads, rows, signed=True)] if columns else []
    return tables


def attribute_tables(comparison: Comparison, scores: abc.Sequence[str] = ()) -> list[Table]:
    """Attributes in rows, trackers in columns: the score over the sequences with the attribute.

    There is a table for each protocol and score (its first unless ``scores`` names others).
    """
    values = {
        (protocol, short): [entry.part_values(protocol, names) for entry in comparison.entries]
        for protocol in comparison.protocols
        for short, names in comparison.attributes.items()
    }
    tables = []
    for score in _single_columns(comparison, scores):
        rows = []
        for short, names in comparison.attributes.items():
            parts = values[score.protocol, short]
            cells = tuple(Cell(*part[score.name]) if score.name in part else Cell(None) for part in parts)
            rows.append(Row(f"{short} {comparison.attribute_names[short]} ({len(names)})", cells))
        whole = (score.cell(entry.label)._replace(low=None, high=None) for entry in comparison.entries)
        rows.append(Row(f"all ({len(comparison.sequences)})", tuple(whole)))
        title = f"{score.name} in percent over the sequences with an attribute (how many)"
        labels = [entry.label for entry in comparison.entries]
        tables.append(_score_table("attribute", score, title, labels, rows, best="row"))
    return tables


def sequence_tables(comparison: Comparison, labels: abc.Sequence[str], scores: abc.Sequence[str] = ()) -> list[Table]:
    """Sequences in rows, trackers in columns, with the difference of two or the widest gap between more.

    The largest difference comes first. There is a table for each protocol and score (its first unless ``scores`` names
    others). Raises ``ValueError`` for a label that the comparison lacks.
    """
    entries = [comparison.entry(label) for label in labels]
    if None in entries:
        known = ", ".join(entry.label for entry in comparison.entries)
        unknown = labels[entries.index(None)]
        raise ValueError(f"{comparison.benchmark}: no tracker {unknown!r} in this comparison; it has {known}")
    gap = [[], ["difference"], ["widest gap"]][min(len(labels), 3) - 1]
    values = {
        protocol: [[entry.sequence_values(protocol, n) for entry in entries] for n in range(len(comparison.sequences))]
        for protocol in comparison.protocols
    }
    tables = []
    for score in _single_columns(comparison, scores):
        rows = []
        for sequence, found in zip(comparison.sequences, values[score.protocol], strict=True):
            means = [each[score.name].mean if score.name in each else None for each in found]
            difference = None
            if len(means) > 1 and None not in means:
                difference = means[0] - means[1] if len(means) == 2 else max(means) - min(means)
            rows.append(Row(sequence.name, tuple(map(Cell, [*means, *[difference] * len(gap)]))))
        if gap:
            rows.sort(key=lambda row: -float("inf") if row.cells[-1].value is None else row.cells[-1].value)
            rows.reverse()
        versus = f", {labels[0]} minus {labels[1]}" if len(labels) == 2 else ""
        title = f"{score.name} in percent by sequence{versus}"
        tables.append(_score_table("sequence", score, title, [*labels, *gap], rows))
    return tables


def confidence_tables(comparison: Comparison) -> list[Table]:
    """Trackers in rows with the measures of their confidence, and a table of their reliability curves with a column for
    a bin; none without confidence. The lines below the first have ``lost_below``, or the reason why there is none."""
    if not comparison.confidence:
        return []
    names = ("AUROC", "on target", "absent", "lost_below", "lost found", "false alarms")
    whole = Table(
        f"confidence_{comparison.benchmark}",
        "Scores of frames on and off the target (percent of frames; lost_below is a score)",
        "tracker",
        tuple(Column(comparison.title, name) for name in names),
        tuple(Row(label, _confidence_cells(found)) for label, found in comparison.confidence.items()),
        tuple(
            f"{comparison.benchmark}, {label}: {line}"
            for label, found in comparison.confidence.items()
            for line in _confidence_lines(found)
        ),
        comparison.warnings,
    )
    known = {label: found.reliability for label, found in comparison.confidence.items() if not isinstance(found, str)}
    if not known:
        return [whole]
    bins = max(len(curve.counts) for curve in known.values())
    rows = [
        Row(f"{label}, {words}", tuple(Cell(value) for value in [*values, *[None] * (bins - len(values))]))
        for label, curve in known.items()
        for words, values in (("mean score", curve.scores.tolist()), ("on target", curve.shares.tolist()))
    ]
    curves = Table(
        f"reliability_{comparison.benchmark}",
        "Frames in bins by their score, the lowest first: mean score of a bin and its frames on the target, percent",
        "tracker",
        tuple(Column(comparison.title, str(number + 1)) for number in range(bins)),
        tuple(rows),
        warnings=comparison.warnings,
    )
    return [whole, curves]


def _confidence_cells(found: Confidence | str) -> tuple[Cell | str, ...]:
    if isinstance(found, str):
        return (Cell(None),) * 6
    known = tuple(map(Cell, (found.auroc, found.on / found.frames, found.absent / found.frames)))
    if found.threshold is None:
        return (*known, *(Cell(None),) * 3)
    return (*known, f"{found.threshold.value:.3f}", Cell(found.threshold.found), Cell(found.threshold.false_alarms))


def _confidence_lines(found: Confidence | str) -> list[str]:
    if isinstance(found, str):
        return [f"no confidence: {found}"]
    kinds = "absent frames and those on the target" if found.for_absent else "an overlap above 0.5 and the rest"
    best = f"best between {kinds}: lost_below: {found.threshold.value:.3g}" if found.threshold else (
        "no threshold, as all of them are of one kind"
    )  # fmt: skip
    counts = f"{found.frames} frames, {found.on} on the target, {found.absent} absent"
    return [f"{counts}; {best}", *([f"left out: {found.left_out}"] if found.left_out else [])]


def _parts(comparisons: abc.Sequence[Comparison]) -> list[Part]:
    """The benchmarks and protocols of each table."""
    protocols = [comparison.protocols or ("",) for comparison in comparisons]
    if all(len(names) == 1 for names in protocols):
        return [[(comparison, names[0]) for comparison, names in zip(comparisons, protocols, strict=True)]]
    names = dict.fromkeys(name for row in zip_longest(*protocols) for name in row if name)
    return [[(each, name) for each in comparisons if name in each.protocols] for name in names]


def _columns(part: Part, scores: abc.Sequence[str]) -> list[_Score]:
    """The scores of these benchmarks; one column of dashes for a benchmark without any scored sequence."""
    found = []
    for comparison, protocol in part:
        known = comparison.score_names(protocol)
        names = [name for name in known if not scores or name in scores] if known else ["no score"]
        found += [_Score(comparison, protocol, name) for name in names]
    return found


def _single_columns(comparison: Comparison, scores: abc.Sequence[str]) -> list[_Score]:
    """The requested scores of each protocol, or its first."""
    found = []
    for protocol in comparison.protocols:
        known = comparison.score_names(protocol)
        names = [score for score in scores if score in known] or known[:1]
        found += [_Score(comparison, protocol, name) for name in names]
    return found


def _table(
    kind: str,
    part: Part,
    title: str,
    columns: list[Column],
    rows: list[Row],
    below: abc.Sequence[str] = (),
    best: str = "",
    signed: bool = False,
) -> Table:
    protocols = {protocol for _, protocol in part}
    name = f"{kind}_{protocols.pop()}" if len(protocols) == 1 else kind
    warnings = dict.fromkeys(warning for comparison, _ in part for warning in comparison.warnings)
    return Table(name, title, "tracker", tuple(columns), tuple(rows), tuple(below), tuple(warnings), best, signed)


def _score_table(corner: str, score: _Score, title: str, columns: list[str], rows: list[Row], best: str = "") -> Table:
    comparison = score.comparison
    return Table(
        f"{corner}s_{comparison.benchmark}_{score.protocol}_{score.name}",
        title,
        corner,
        tuple(Column(score.group, name) for name in columns),
        tuple(rows),
        tuple(remarks(comparison, [score.protocol])),
        comparison.warnings,
        best,
    )


def _labels(comparisons: abc.Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(entry.label for comparison in comparisons for entry in comparison.entries))


def _counts(comparison: Comparison, protocol: str, label: str) -> list[str]:
    """How many sequences have a score (a result where a server scores), of how many; frames a second."""
    entry = comparison.entry(label)
    runs = entry.runs if entry else ()
    failed = {name for run in runs for name in run.scores.errors(protocol)}
    total = len(runs[0].scores.sequences) if runs else 0
    seconds = [run.seconds for run in runs if run.seconds]
    speed = f"{len(seconds) / sum(seconds):.1f}" if seconds else "-"
    return [f"{total - len(failed)}/{total}" if runs else "-", *([speed] if _has_times(comparison) else [])]


def _has_times(comparison: Comparison) -> bool:
    return any(run.seconds for run in comparison.runs)


def _runs_in_words(part: Part, label: str) -> str:
    """How many runs a tracker has, if several; by benchmark where they differ."""
    runs = {each.benchmark: len(entry.runs) for each, _ in part for entry in each.entries if entry.label == label}
    if len(set(runs.values())) == 1:
        [count] = set(runs.values())
        return f" ({count} runs)" if count > 1 else ""
    words = ", ".join(f"{benchmark} {count}" for benchmark, count in runs.items())
    return f" (runs: {words})" if words else ""
