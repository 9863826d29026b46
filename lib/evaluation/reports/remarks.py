"""Lines below the scores: where results lie, settings for the benchmark, sequences without a score and why, rows that a
protocol's rule changed."""

import re
from collections import abc

from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.scoring import ScoredRun
from lib.evaluation.reports.comparison import Comparison, listed

SHOWN_ERRORS = 20  # names in a line; the others are counted, and JSON has them all


def remarks(comparison: Comparison, protocols: abc.Sequence[str]) -> list[str]:
    """Lines about the scores by these protocols; all begin with the benchmark."""
    lines = []
    for entry in comparison.entries:
        for run in entry.runs:
            label = entry.label if len(entry.runs) == 1 else f"{entry.label} ({run.results.label})"
            who = f"{comparison.benchmark}, {label}"
            lines.append(f"{who}: results of {run.results.source} ({run.results.producer})")
            changed = (run.results.manifest or {}).get("overrides") or {}
            if changed:
                settings = ", ".join(f"{key}={value}" for key, value in changed.items())
                lines.append(f"{who}: settings of this benchmark: {settings}")
            lines += [f"{who}: {line}" for line in (*_errors(run, protocols), *_notes(run, protocols))]
    if server := find_benchmark(comparison.benchmark).server:
        lines.append(
            f"{comparison.benchmark}: ground truth beyond the first frame is not public; {server} scores these results"
        )
    return lines


def _notes(run: ScoredRun, protocols: abc.Sequence[str]) -> abc.Iterator[str]:
    """A line for each rule that changed rows or frames of the same sequences: protocols, how many rows, sequences."""
    found: dict[tuple[str, int, tuple[str, ...]], list[str]] = {}
    for protocol in protocols:
        changed: dict[str, dict[str, int]] = {}
        for name, notes in run.notes(protocol).items():
            for count, words in notes:
                changed.setdefault(words, {})[name] = count
        for words, counts in changed.items():
            found.setdefault((words, sum(counts.values()), tuple(counts)), []).append(protocol)
    for (words, count, names), those in found.items():
        where = f"in {len(names)} sequence(s): {listed(names)}"
        yield f"protocol {', '.join(those)}, by its own rule: {count} {words}, {where}"


def _errors(run: ScoredRun, protocols: abc.Sequence[str]) -> abc.Iterator[str]:
    """A line for sequences whose reasons differ in names and numbers alone: the protocols, and the first reason."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for protocol in protocols:
        kinds: dict[str, list[str]] = {}
        for name, reason in run.errors(protocol).items():
            kinds.setdefault(re.sub(r"\d+", "", reason.replace(name, "")), []).append(name)
        for kind, names in kinds.items():
            found.setdefault((kind, tuple(names)), []).append(protocol)
    for (_, names), those in found.items():
        words = f"NO SET SCORE by protocol {', '.join(those)}" if any(those) else "INCOMPLETE"
        count = f"{len(names)} of {len(run.sequences)} sequences could not be scored"
        others = f" (the reason of {names[0]}; JSON has all)" if len(names) > 1 else ""
        yield f"{words}: {count}: {listed(names, SHOWN_ERRORS)}: {run.errors(those[0])[names[0]]}{others}"
