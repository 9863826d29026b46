"""Lines below the scores: where results lie, settings for the benchmark, sequences without a score and why, rows that a
protocol's rule changed."""

import re
from collections import abc

from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.scoring import SetScores
from lib.evaluation.reports.comparison import Comparison, listed

SHOWN_ERRORS = 20  # names in a line; the others are counted, and JSON has them all


def remarks(comparison: Comparison, protocols: abc.Sequence[str]) -> list[str]:
    """Lines about the scores by these protocols; all begin with the benchmark."""
    lines = []
    for entry in comparison.entries:
        for run in entry.runs:
            label = entry.label if len(entry.runs) == 1 else f"{entry.label} ({run.scores.label})"
            who = f"{comparison.benchmark}, {label}"
            lines.append(f"{who}: results of {run.results.source} ({run.results.producer})")
            changed = (run.results.manifest or {}).get("overrides") or {}
            if changed:
                settings = ", ".join(f"{key}={value}" for key, value in changed.items())
                lines.append(f"{who}: settings of this benchmark: {settings}")
            lines += [f"{who}: {line}" for line in (*_errors(run.scores, protocols), *_notes(run.scores, protocols))]
    if server := find_benchmark(comparison.benchmark).server:
        lines.append(
            f"{comparison.benchmark}: ground truth beyond the first frame is not public; {server} scores these results"
        )
    return lines


def _notes(scores: SetScores, protocols: abc.Sequence[str]) -> list[str]:
    """A line for each rule of a protocol that changed rows or frames: the protocols, how many rows, which sequences."""
    found: dict[tuple[str, int, tuple[str, ...]], list[str]] = {}
    for protocol in protocols:
        done: dict[str, dict[str, int]] = {}
        for name, notes in scores.notes(protocol).items():
            for note in notes:
                rows, what = re.fullmatch(r"(?:(\d+) )?(.*)", note).groups()
                done.setdefault(what, {})[name] = int(rows or 0)
        for what, rows in done.items():
            found.setdefault((what, sum(rows.values()), tuple(rows)), []).append(protocol)
    return [
        f"protocol {', '.join(those)}, by its own rule: {f'{rows} ' if rows else ''}{what}, in {len(names)} "
        f"sequence(s): {listed(names)}"
        for (what, rows, names), those in found.items()
    ]


def _errors(scores: SetScores, protocols: abc.Sequence[str]) -> list[str]:
    """A line for each reason: the protocols and sequences that share it; reasons that differ in numbers count as one.
    The sequence's name in a reason is replaced, so that the reasons of several sequences can be equal."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    reasons: dict[str, dict[str, None]] = {}
    for protocol in protocols:
        named: dict[str, list[str]] = {}
        for name, text in scores.errors(protocol).items():
            reason = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "<sequence>", text)
            kind = re.sub(r"\d+", "#", reason)
            reasons.setdefault(kind, {})[reason] = None
            named.setdefault(kind, []).append(name)
        for kind, names in named.items():
            found.setdefault((kind, tuple(names)), []).append(protocol)
    lines = []
    for (kind, names), those in found.items():
        what = f"NO SET SCORE by protocol {', '.join(those)}" if any(those) else "INCOMPLETE"
        first, *others = reasons[kind]
        lines.append(
            f"{what}: {len(names)} of {len(scores.sequences)} sequences could not be scored: "
            f"{listed(names, SHOWN_ERRORS)}: {first}{' (the first; others alike)' if others else ''}"
        )
    return lines
