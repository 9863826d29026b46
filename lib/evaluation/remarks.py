"""What must be known beside scores: where results lie, settings of a benchmark's own, sequences without a score and
why, rows that a protocol's rule changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from lib.evaluation.comparison import Comparison, Entry, Run

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
            lines += [f"{who}: {line}" for line in (*_errors(run, protocols), *_notes(run, protocols))]
    return lines


def is_complete(comparison: Comparison) -> bool:
    """Whether every result is there and every protocol that was asked for could score it."""
    runs = [run for entry in comparison.entries for run in entry.runs]
    missing = any(sequence.missing for run in runs for sequence in run.scores.sequences)
    return not missing and not any(run.scores.errors(name) for run in runs for name in comparison.protocols)


def _label(entry: Entry, run: Run) -> str:
    return entry.label if len(entry.runs) == 1 else f"{entry.label} ({run.scores.label})"


def _errors(run: Run, protocols: Sequence[str]) -> list[str]:
    """Lines by reason: the sequences and protocols that share it."""
    total = len(run.scores.sequences)
    found: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for protocol in protocols:
        named: dict[str, list[str]] = {}
        for name, reason in run.scores.errors(protocol).items():
            named.setdefault(_without(name, reason), []).append(name)
        for reason, names in named.items():
            found.setdefault(reason, {}).setdefault(tuple(names), []).append(protocol)
    return [
        f"NO SET SCORE by protocol {', '.join(those)}: {len(names)} of {total} sequences could not be scored: "
        f"{_listed(names, SHOWN_ERRORS)}: {reason}"
        for reason, groups in found.items()
        for names, those in groups.items()
    ]


def _notes(run: Run, protocols: Sequence[str]) -> list[str]:
    """Lines by what was done to rows: how many rows of which sequences, and the protocols that did the same."""
    found: dict[tuple[str, int, tuple[str, ...]], list[str]] = {}
    for protocol in protocols:
        done = sorted(
            (what, name, rows)
            for name, notes in run.scores.notes(protocol).items()
            for rows, what in map(_rows_and_words, notes)
        )
        for what, group in groupby(done, key=lambda item: item[0]):
            _, names, rows = zip(*group, strict=True)
            found.setdefault((what, sum(rows), names), []).append(protocol)
    return [
        f"protocol {', '.join(those)}, by its own rule: {f'{rows} ' if rows else ''}{what}, in {len(names)} "
        f"sequence(s): {_listed(names, SHOWN_NOTES)}"
        for (what, rows, names), those in found.items()
    ]


def _rows_and_words(note: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+) (.*)", note)
    return (int(match[1]), match[2]) if match else (0, note)


def _without(name: str, reason: str) -> str:
    """The reason without the sequence's name, so that the same one of several sequences stands once."""
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "<sequence>", reason)


def _listed(names: Iterable[str], shown: int) -> str:
    names = list(names)
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest
