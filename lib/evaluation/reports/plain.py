"""Comparisons in plain types, for JSON: ``analysis.json``, and the ``score.json`` of a results folder."""

from collections import abc
from types import MappingProxyType
from typing import Any

from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.confidence import Confidence
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import CURVES, ComparedTracker, Comparison, ScoredRun, Spread
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
    """One run by every protocol that it was scored by; ``errors`` are those of the benchmark's own. ``scores`` are
    empty for a benchmark that a server scores."""
    benchmark = find_benchmark(comparison.benchmark)
    content = {
        "benchmark": comparison.benchmark,
        "protocol": benchmark.protocol,
        "part": comparison.part,
        "scored_by": benchmark.server or "this program",
        **_run(run, () if benchmark.server else tuple(run.scores.overall)),
        "errors": run.scores.errors(benchmark.protocol),
    }
    if not benchmark.server:
        curves = run.scores.overall[benchmark.protocol]
        content["success_curve"] = None if curves is None else curves.success
    return plain(content)


def _tracker(comparison: Comparison, entry: ComparedTracker) -> dict[str, Any]:
    protocols = comparison.protocols
    return {
        "label": entry.label,
        "scores": {name: _spreads(entry.values(name), entry.intervals.get(name, {})) for name in protocols},
        "curves": {name: _curves(entry, name) for name in protocols},
        "attributes": {
            short: {name: _spreads(entry.part_values(name, names)) for name in protocols}
            for short, names in comparison.attributes.items()
        },
        "runs": [_run(run, protocols) for run in entry.runs],
    }


def _run(run: ScoredRun, protocols: abc.Sequence[str]) -> dict[str, Any]:
    return {
        "label": run.scores.label,
        "source": str(run.results.source),
        "producer": run.results.producer,
        "manifest": run.results.manifest,
        "seconds_per_frame": run.seconds,
        "scores": {name: run.scores.values(name) for name in protocols},
        "errors": {name: run.scores.errors(name) for name in protocols},
        "missing": {sequence.name: sequence.missing for sequence in run.scores.sequences if sequence.missing},
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
            for sequence in run.scores.sequences
            if sequence.curves or sequence.errors
        },
    }


def _spreads(
    spreads: abc.Mapping[str, Spread], intervals: abc.Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> dict[str, Any]:
    return {
        name: spread._asdict() | ({"interval": intervals[name]} if name in intervals else {})
        for name, spread in spreads.items()
    }


def _curves(entry: ComparedTracker, protocol: str) -> dict[str, Any]:
    """The set's curves, means over runs, with their thresholds."""
    curves = {kind: entry.curve(protocol, kind) for kind in CURVES}
    thresholds = dict(zip(CURVES, PROTOCOLS[protocol].thresholds, strict=True))
    return {
        kind: {"thresholds": thresholds[kind], "shares": curve} for kind, curve in curves.items() if curve is not None
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
