"""Comparisons as tables: trackers by score, by attribute and by sequence, their differences and their confidence."""

from collections import abc

from lib.evaluation.metrics.confidence import Confidence
from lib.evaluation.reports.bootstrap import LEVEL, Bootstrap, difference_intervals
from lib.evaluation.reports.comparison import ComparedTracker, Comparison
from lib.evaluation.reports.remarks import remarks
from lib.evaluation.reports.tables import NO_SCORE, Cell, Row, Table

Part = list[tuple[Comparison, str]]  # benchmarks that share a table, each with the protocol of its scores
Column = tuple[str, str]  # benchmark and name of a score


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
            values = _values(part, label)
            cells = [values.get(column, NO_SCORE) for column in columns]
            for comparison, protocol in part if counts else ():
                cells += _counts(comparison, protocol, label)
            rows.append(Row(label + _runs_in_words(part, label), tuple(cells)))
        title = "Scores in percent"
        if any(cell.deviation is not None for row in rows for cell in row.cells):
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
        columns, theirs, rows = _columns(part, scores), _values(part, base), []
        for label in (label for label in labels if label != base):
            ours, cells = _values(part, label), {}
            for comparison, protocol in part:
                entries = comparison.entry(label), comparison.entry(base)
                draws = bootstrap.draw(len(comparison.sequences))
                for name, ends in difference_intervals(*entries, protocol, draws).items() if all(entries) else ():
                    key = comparison.benchmark, name
                    cells[key] = Cell(ours[key].value - theirs[key].value, None, *ends)
            rows.append(Row(label, tuple(cells.get(column, NO_SCORE) for column in columns)))
        title = f"Difference from {base} in percent points [{about}]"
        name = _named("differences", part)
        tables += [_table(name, part, title, _heads(columns), rows, signed=True)] if columns else []
    return tables


def attribute_tables(comparison: Comparison, scores: abc.Sequence[str] = ()) -> list[Table]:
    """Attributes in rows, trackers in columns: the score over the sequences with the attribute.

    There is a table for each protocol and score (its first unless ``scores`` names others).
    """
    entries, words, tables = comparison.entries, comparison.attribute_names, []
    parts = {f"{short} {words[short]} ({len(names)})": names for short, names in comparison.attributes.items()}
    parts[f"all ({len(comparison.sequences)})"] = None
    labels = [entry.label for entry in entries]
    for protocol in comparison.protocols:
        values = {part: [entry.part_values(protocol, names) for entry in entries] for part, names in parts.items()}
        for score in _chosen(comparison, protocol, scores):
            rows = [Row(part, tuple(each.get(score, NO_SCORE) for each in found)) for part, found in values.items()]
            title = f"{score} in percent over the sequences with an attribute (how many)"
            name = f"attributes_{comparison.benchmark}_{protocol}_{score}"
            tables.append(_table(name, [(comparison, protocol)], title, labels, rows, "attribute", best="row"))
    return tables


def sequence_tables(
    comparison: Comparison, entries: abc.Sequence[ComparedTracker], scores: abc.Sequence[str] = ()
) -> list[Table]:
    """Sequences in rows, trackers in columns, with the difference of two or the widest gap between more.

    The largest difference comes first. There is a table for each protocol and score (its first unless ``scores`` names
    others).
    """
    labels = [entry.label for entry in entries]
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
                means = [each.get(score, NO_SCORE).value for each in found]
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
    benchmark, found, scope = comparison.benchmark, comparison.confidence, (comparison.title,)
    whole = Table(
        f"confidence_{benchmark}",
        "Scores of frames on and off the target (percent of frames; lost_below is a score)",
        scope,
        "tracker",
        ("AUROC", "on target", "absent", "lost_below", "lost found", "false alarms"),
        tuple(Row(label, _confidence_cells(each)) for label, each in found.items()),
        tuple(f"{benchmark}, {label}: {line}" for label, each in found.items() for line in _confidence_lines(each)),
        comparison.warnings,
    )
    bins = max(len(each.reliability.counts) for each in found.values())
    rows = [
        Row(f"{label}, {words}", tuple(map(Cell, [*values, *[None] * (bins - len(values))])))
        for label, each in found.items()
        for words, values in (("mean score", each.reliability.scores), ("on target", each.reliability.shares))
        if each.frames
    ]
    title = "Frames in bins by their score, the lowest first: mean score of a bin and its frames on the target, percent"
    numbers = tuple(map(str, range(1, bins + 1)))
    curves = Table(f"reliability_{benchmark}", title, scope, "tracker", numbers, tuple(rows), (), comparison.warnings)
    return [whole, curves] if rows else [whole]


def _confidence_cells(found: Confidence) -> tuple[Cell, ...]:
    if not found.frames:
        return (NO_SCORE,) * 6
    best = found.threshold
    lost = (f"{best.value:.3f}", best.found, best.false_alarms) if best else (None,) * 3
    return tuple(map(Cell, (found.auroc, found.on / found.frames, found.absent / found.frames, *lost)))


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
    if all(len(each.protocols) < 2 for each in comparisons):
        return [[(each, *(each.protocols or ("",))) for each in comparisons]]
    protocols = dict.fromkeys(protocol for each in comparisons for protocol in each.protocols)
    return [[(each, name) for each in comparisons if name in each.protocols] for name in protocols]


def _columns(part: Part, scores: abc.Sequence[str]) -> list[Column]:
    """The scores of these benchmarks; one column of dashes for a benchmark without any scored sequence."""
    found = []
    for comparison, protocol in part:
        known = comparison.score_names(protocol)
        names = [name for name in known if not scores or name in scores] if known else ["no score"]
        found += [(comparison.benchmark, name) for name in names]
    return found


def _values(part: Part, label: str) -> dict[Column, Cell]:
    entries = [(comparison.entry(label), comparison.benchmark, protocol) for comparison, protocol in part]
    return {
        (benchmark, name): cell
        for entry, benchmark, protocol in entries
        for name, cell in (entry.values(protocol) if entry else {}).items()
    }


def _heads(columns: list[Column]) -> list[str]:
    several = len({benchmark for benchmark, _ in columns}) > 1
    return [f"{benchmark} {name}" if several else name for benchmark, name in columns]


def _chosen(comparison: Comparison, protocol: str, scores: abc.Sequence[str]) -> list[str]:
    known = comparison.score_names(protocol)
    return [score for score in scores if score in known] or known[:1]


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


def _counts(comparison: Comparison, protocol: str, label: str) -> list[Cell]:
    """How many sequences have a score (a result where a server scores), of how many; frames a second."""
    entry = comparison.entry(label)
    runs = entry.runs if entry else ()
    failed = {name for run in runs for name in run.errors(protocol)}
    total = len(runs[0].sequences) if runs else 0
    seconds = [run.seconds for run in runs if run.seconds]
    count = Cell(f"{total - len(failed)}/{total}") if runs else NO_SCORE
    speed = Cell(f"{len(seconds) / sum(seconds):.1f}") if seconds else NO_SCORE
    return [count, speed] if _has_times(comparison) else [count]


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
