"""Comparisons as tables: trackers by score, by attribute and by sequence, their differences and their confidence."""

from collections import abc
from typing import NamedTuple

from lib.evaluation.metrics.confidence import Confidence
from lib.evaluation.reports.bootstrap import LEVEL, Bootstrap, difference_intervals
from lib.evaluation.reports.comparison import Comparison, Spread
from lib.evaluation.reports.remarks import remarks
from lib.evaluation.reports.tables import Cell, Row, Table

Part = list[tuple[Comparison, str]]  # benchmarks that share a table, each with the protocol of its scores


class _Score(NamedTuple):
    """The score that a column shows."""

    comparison: Comparison
    protocol: str
    name: str

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
        heads, rows = _heads(columns), []
        for label in _labels(comparisons):
            cells = [column.cell(label) for column in columns]
            for comparison, protocol in part if counts else ():
                cells += _counts(comparison, protocol, label)
            rows.append(Row(label + _runs_in_words(part, label), tuple(cells)))
        title = "Scores in percent"
        if any(isinstance(cell, Cell) and cell.deviation is not None for row in rows for cell in row.cells):
            title += "; mean ± sample deviation over runs"
        if bootstrap:
            title += f"; [{100 * LEVEL:.0f} % interval over sequences, {bootstrap.words}]"
        for comparison, _ in part if counts else ():
            heads += ("sequences", "frames/s")[: 2 if _has_times(comparison) else 1]
        tables += [_table(_named("scores", part), part, title, heads, rows, best="column")] if columns else []
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
    about = f"{100 * LEVEL:.0f} % interval over sequences, paired, {bootstrap.words}"
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
        title = f"Difference from {base} in percent points [{about}]"
        name = _named("differences", part)
        tables += [_table(name, part, title, _heads(columns), rows, signed=True)] if columns else []
    return tables


def attribute_tables(comparison: Comparison, scores: abc.Sequence[str] = ()) -> list[Table]:
    """Attributes in rows, trackers in columns: the score over the sequences with the attribute.

    There is a table for each protocol and score (its first unless ``scores`` names others).
    """
    entries, tables = comparison.entries, []
    for protocol in comparison.protocols:
        values = {
            f"{short} {comparison.attribute_names[short]} ({len(names)})": [
                entry.part_values(protocol, names) for entry in entries
            ]
            for short, names in comparison.attributes.items()
        }
        values[f"all ({len(comparison.sequences)})"] = [entry.values(protocol) for entry in entries]
        for score in _chosen(comparison, protocol, scores):
            rows = [Row(label, tuple(_cell(each, score) for each in found)) for label, found in values.items()]
            title = f"{score} in percent over the sequences with an attribute (how many)"
            name, labels = f"attributes_{comparison.benchmark}_{protocol}_{score}", [entry.label for entry in entries]
            tables.append(_table(name, [(comparison, protocol)], title, labels, rows, "attribute", best="row"))
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
    versus = f", {labels[0]} minus {labels[1]}" if len(labels) == 2 else ""
    tables = []
    for protocol in comparison.protocols:
        values = {
            sequence.name: [entry.sequence_values(protocol, number) for entry in entries]
            for number, sequence in enumerate(comparison.sequences)
        }
        for score in _chosen(comparison, protocol, scores):
            rows = []
            for name, found in values.items():
                means = [_cell(each, score).value for each in found]
                difference = None
                if len(means) > 1 and None not in means:
                    difference = means[0] - means[1] if len(means) == 2 else max(means) - min(means)
                rows.append(Row(name, tuple(map(Cell, [*means, *[difference] * len(gap)]))))
            if gap:
                rows.sort(key=lambda row: -float("inf") if row.cells[-1].value is None else row.cells[-1].value)
                rows.reverse()
            title = f"{score} in percent by sequence{versus}"
            name = f"sequences_{comparison.benchmark}_{protocol}_{score}"
            tables.append(_table(name, [(comparison, protocol)], title, [*labels, *gap], rows, "sequence"))
    return tables


def confidence_tables(comparison: Comparison) -> list[Table]:
    """Trackers in rows with the measures of their confidence, and a table of their reliability curves with a column for
    a bin; none without confidence. The lines below the first have ``lost_below``, or the reason why there is none."""
    if not comparison.confidence:
        return []
    benchmark, found = comparison.benchmark, comparison.confidence
    rows = [Row(label, _confidence_cells(each)) for label, each in found.items()]
    lines = [f"{benchmark}, {label}: {line}" for label, each in found.items() for line in _confidence_lines(each)]
    whole = Table(
        f"confidence_{benchmark}",
        "Scores of frames on and off the target (percent of frames; lost_below is a score)",
        (comparison.title,),
        "tracker",
        ("AUROC", "on target", "absent", "lost_below", "lost found", "false alarms"),
        tuple(rows),
        tuple(lines),
        comparison.warnings,
    )
    bins = max(len(each.reliability.counts) for each in found.values())
    rows = [
        Row(f"{label}, {words}", tuple(Cell(value) for value in [*values, *[None] * (bins - len(values))]))
        for label, each in found.items()
        for words, values in (("mean score", each.reliability.scores), ("on target", each.reliability.shares))
        if each.frames
    ]
    curves = Table(
        f"reliability_{benchmark}",
        "Frames in bins by their score, the lowest first: mean score of a bin and its frames on the target, percent",
        (comparison.title,),
        "tracker",
        tuple(map(str, range(1, bins + 1))),
        tuple(rows),
        warnings=comparison.warnings,
    )
    return [whole, curves] if rows else [whole]


def _confidence_cells(found: Confidence) -> tuple[Cell | str, ...]:
    if not found.frames:
        return (Cell(None),) * 6
    known = tuple(map(Cell, (found.auroc, found.on / found.frames, found.absent / found.frames)))
    if found.threshold is None:
        return (*known, *(Cell(None),) * 3)
    return (*known, f"{found.threshold.value:.3f}", Cell(found.threshold.found), Cell(found.threshold.false_alarms))


def _confidence_lines(found: Confidence) -> list[str]:
    if not found.frames:
        return [f"no confidence: {found.left_out}"]
    kinds = (
        "absent frames and those on the target" if "absent" in found.thresholds else "an overlap above 0.5 and the rest"
    )
    best = "no threshold, as all of them are of one kind"
    if found.threshold:
        best = f"best between {kinds}: lost_below: {found.threshold.value:.3g}"
    counts = f"{found.frames} frames, {found.on} on the target, {found.absent} absent"
    return [f"{counts}; {best}", *([f"left out: {found.left_out}"] if found.left_out else [])]


def _parts(comparisons: abc.Sequence[Comparison]) -> list[Part]:
    """The benchmarks and protocols of each table."""
    if all(len(each.protocols) < 2 for each in comparisons):
        return [[(each, *(each.protocols or ("",))) for each in comparisons]]
    protocols = dict.fromkeys(protocol for each in comparisons for protocol in each.protocols)
    return [[(each, name) for each in comparisons if name in each.protocols] for name in protocols]


def _columns(part: Part, scores: abc.Sequence[str]) -> list[_Score]:
    """The scores of these benchmarks; one column of dashes for a benchmark without any scored sequence."""
    found = []
    for comparison, protocol in part:
        known = comparison.score_names(protocol)
        names = [name for name in known if not scores or name in scores] if known else ["no score"]
        found += [_Score(comparison, protocol, name) for name in names]
    return found


def _heads(columns: list[_Score]) -> list[str]:
    """The names of scores, with their benchmarks where there are several."""
    several = len({column.comparison.benchmark for column in columns}) > 1
    return [f"{column.comparison.benchmark} {column.name}" if several else column.name for column in columns]


def _chosen(comparison: Comparison, protocol: str, scores: abc.Sequence[str]) -> list[str]:
    """The requested scores of the protocol, or its first."""
    known = comparison.score_names(protocol)
    return [score for score in scores if score in known] or known[:1]


def _cell(values: abc.Mapping[str, Spread], score: str) -> Cell:
    return Cell(*values[score]) if score in values else Cell(None)


def _named(kind: str, part: Part) -> str:
    """The name of a table's file; its protocol is in it if there is only one."""
    protocols = {protocol for _, protocol in part}
    return f"{kind}_{protocols.pop()}" if len(protocols) == 1 else kind


def _table(
    name: str,
    part: Part,
    title: str,
    columns: abc.Sequence[str],
    rows: abc.Sequence[Row],
    corner: str = "tracker",
    best: str = "",
    signed: bool = False,
) -> Table:
    """The table of these benchmarks and protocols, with their warnings above and the remarks below."""
    scope = tuple(f"{each.title}, {f'protocol {by}' if by else 'scored by a server'}" for each, by in part)
    warnings = dict.fromkeys(warning for comparison, _ in part for warning in comparison.warnings)
    below = tuple(line for comparison, protocol in part for line in remarks(comparison, [protocol]))
    return Table(name, title, scope, corner, tuple(columns), tuple(rows), below, tuple(warnings), best, signed)


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
