"""What must be known beside scores: where results lie, settings of a benchmark's own, sequences without a score and
why, rows that a protocol's rule changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lib.evaluation.metrics.scoring import SetScores
from lib.evaluation.reports.comparison import Comparison, Entry, Run

SHOWN_ERRORS = 20  # names in a line; the others are counted, and JSON has them all
SHOWN_NOTES = 5


def remarks(comparison: Comparison, protocols: Sequence[str]) -> list[str]:
    """Lines to stand below the scores by these protocols; all begin with the benchmark."""
    lines = []
    for entry in comparison.entries:
        for run in entry.runs:
            who = f"{comparison.benchmark}, {_label(entry, run)}"
            lines.append(f"{who}: results of {run.source} ({run.producer})")
            changed = (run.manifest or {}).get("overrides") or {}
            if changed:
                settings = ", ".join(f"{key}={value}" for key, value in changed.items())
                lines.append(f"{who}: settings of this benchmark: {settings}")
            lines += [f"{who}: {line}" for line in (*_errors(run, protocols), *notes_in_words(run.scores, protocols))]
    return lines


def notes_in_words(scores: SetScores, protocols: Sequence[str]) -> list[str]:
    """A line for each rule of a protocol that changed rows or frames: the protocols, how many rows, which sequences."""
    found: dict[tuple[str, int, tuple[str, ...]], list[str]] = {}
    for protocol in protocols:
        done: dict[str, dict[str, int]] = {}
        for name, notes in scores.notes(protocol).items():
            for rows, what in map(_rows_and_words, notes):
                done.setdefault(what, {})[name] = rows
        for what, rows in done.items():
            found.setdefault((what, sum(rows.values()), tuple(rows)), []).append(protocol)
    return [
        f"protocol {', '.join(those)}, by its own rule: {f'{rows} ' if rows else ''}{what}, in {len(names)} "
        f"sequence(s): {listed(names, SHOWN_NOTES)}"
        for (what, rows, names), those in found.items()
    ]


def listed(names: Iterable[str], shown: int) -> str:
    """The first ``shown`` names, and how many more."""
    names = list(names)
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def is_complete(comparison: Comparison) -> bool:
    """Whether every result is there and every protocol that was asked for could score it."""
    runs = [run for entry in comparison.entries for run in entry.runs]
    missing = any(sequence.missing for run in runs for sequence in run.scores.sequences)
    return not missing and not any(run.scores.errors(name) for run in runs for name in comparison.protocols)


def _label(entry: Entry, run: Run) -> str:
    return entry.label if len(entry.runs) == 1 else f"{entry.label} ({run.scores.label})"


def _errors(run: Run, protocols: Sequence[str]) -> list[str]:
    """Lines by reason: the sequences and protocols that share it, but for numbers in it."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    reasons: dict[str, str] = {}
    differ: set[str] = set()
    for protocol in protocols:
        named: dict[str, list[str]] = {}
        for name, text in run.scores.errors(protocol).items():
            reason = _without(name, text)
            kind = re.sub(r"\d+", "#", reason)
            if reasons.setdefault(kind, reason) != reason:
                differ.add(kind)
            named.setdefault(kind, []).append(name)
        for kind, names in named.items():
            found.setdefault((kind, tuple(names)), []).append(protocol)
    return [
        f"NO SET SCORE by protocol {', '.join(those)}: {len(names)} of {len(run.scores.sequences)} sequences could not "
        f"be scored: {listed(names, SHOWN_ERRORS)}: {reasons[kind]}{' (the first; others alike)' * (kind in differ)}"
        for (kind, names), those in found.items()
    ]


def _rows_and_words(note: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+) (.*)", note)
    return (int(match[1]), match[2]) if match else (0, note)


def _without(name: str, reason: str) -> str:
    """The reason without the sequence's name, so that the same one of several sequences stands once."""
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "<sequence>", reason)
