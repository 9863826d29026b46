"""Comparisons in plain types, for JSON: ``analysis.json``, and the ``score.json`` of a results folder."""

from collections import abc
from typing import Any

from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.confidence import Confidence
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import ScoredRun
from lib.evaluation.reports.comparison import ComparedTracker, Comparison
from lib.evaluation.reports.tables import Cell
from lib.runtime.json_text import plain


def plain_comparison(comparison: Comparison) -> dict[str, Any]:
    """Everything but the curves of single sequences; scores are fractions."""
    return plain(
        {
            "benchmark": comparison.benchmark,
            "part": comparison.part,
            "protocols": comparison.protocols,
            "warnings": comparison.warnings,
            "sequences": {sequence.name: len(sequence) for sequence in comparison.sequences},
            "attributes": {
                short: {"name": comparison.attribute_names[short], "sequences": sorted(names)}
                for short, names in comparison.attributes.items()
            },
            "confidence": {label: _confidence(found) for label, found in comparison.confidence.items()},
            "trackers": [_tracker(comparison, entry) for entry in comparison.entries],
        }
    )


def plain_score(comparison: Comparison, run: ScoredRun) -> dict[str, Any]:
    """One run by every protocol; ``errors`` are those of the benchmark's own. ``scores`` are empty for a benchmark that
    a server scores."""
    benchmark = find_benchmark(comparison.benchmark)
    content = {
        "benchmark": comparison.benchmark,
        "protocol": benchmark.protocol,
        "part": comparison.part,
        "scored_by": benchmark.server or "this program",
        **_run(run, () if benchmark.server else tuple(PROTOCOLS)),
        "errors": run.errors(benchmark.protocol),
    }
    if not benchmark.server:
        curves = run.curves(benchmark.protocol)
        content["success_curve"] = None if curves is None else curves.success
    return plain(content)


def _tracker(comparison: Comparison, entry: ComparedTracker) -> dict[str, Any]:
    protocols = comparison.protocols
    return {
        "label": entry.label,
        "scores": {name: _scores(entry.values(name)) for name in protocols},
        "curves": {name: _curves(entry, name) for name in protocols},
        "attributes": {
            short: {name: _scores(entry.part_values(name, names)) for name in protocols}
            for short, names in comparison.attributes.items()
        },
        "runs": [_run(run, protocols) for run in entry.runs],
    }


def _run(run: ScoredRun, protocols: abc.Sequence[str]) -> dict[str, Any]:
    return {
        "label": run.results.label,
        "source": run.results.source,
        "producer": run.results.producer,
        "manifest": run.results.manifest,
        "seconds_per_frame": run.seconds,
        "scores": {name: run.values(name) for name in protocols},
        "errors": {name: run.errors(name) for name in protocols},
        "missing": {sequence.name: sequence.missing for sequence in run.sequences if sequence.missing},
        "sequences": {
            sequence.name: {
                "scores": {name: sequence.values(name) for name in sequence.curves},
                "errors": sequence.errors,
                "notes": {
                    name: [f"{count} {words}" for count, words in curves.notes]
                    for name, curves in sequence.curves.items()
                    if curves.notes
                },
            }
            for sequence in run.sequences
            if sequence.curves or sequence.errors
        },
    }


def _scores(cells: abc.Mapping[str, Cell]) -> dict[str, Any]:
    return {
        name: {"mean": cell.value, "deviation": cell.deviation}
        | ({} if cell.low is None else {"interval": (cell.low, cell.high)})
        for name, cell in cells.items()
    }


def _curves(entry: ComparedTracker, protocol: str) -> dict[str, Any]:
    return {
        kind: {"thresholds": thresholds, "shares": curve}
        for kind, thresholds in PROTOCOLS[protocol].thresholds.items()
        if (curve := entry.curve(protocol, kind)) is not None
    }


def _confidence(found: Confidence) -> dict[str, Any]:
    if not found.frames:
        return {"missing": found.left_out}
    return {
        "frames": found.frames,
        "on_target": found.on,
        "absent": found.absent,
        "auroc": found.auroc,
        "lost_below": found.threshold and found.threshold.value,
        "for_absent": None,
        "for_lost": None,
        **{f"for_{kind}": threshold._asdict() for kind, threshold in found.thresholds.items()},
        "reliability": found.reliability._asdict(),
        "left_out": found.left_out,
    }
