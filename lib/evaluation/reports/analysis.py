"""Trackers side by side: result sets are scored, and what a report asks of the scores is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import replace
from typing import Any, NamedTuple

from lib.config.suggestion import suggest
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.attributes import Attributes
from lib.evaluation.metrics.confidence import Confidence
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import SequenceScores, annotation_of, has_first_box_only, score_set
from lib.evaluation.reports.comparison import CURVES, Comparison, Entry, Run, Spread, spread
from lib.evaluation.results.folder import sweep_warning
from lib.evaluation.results.raw_results import ResultSet

ALL = "all"
Groups = Many[tuple[str, Many[ResultSet]]]


class Difference(NamedTuple):
    """A sequence's score of two trackers, fractions, means over runs; None where a protocol could not score it."""

    sequence: str
    first: float | None
    second: float | None

    @property
    def value(self) -> float | None:
        """The first minus the second."""
        return None if self.first is None or self.second is None else self.first - self.second


def choose_protocols(benchmark: str, asked: Many[str], sequences: Many[Sequence]) -> tuple[str, ...]:
    """The benchmark's own protocol if none is asked for; for ``all`` the own one, then the others that its annotations
    allow (GOT-10k's needs cover labels). ``ValueError`` for an unknown name and for benchmarks that a server scores."""
    entry = find_benchmark(benchmark)
    if entry.server:
        raise ValueError(
            f"{benchmark}: ground truth beyond the first frame is not public; {entry.server} scores it: make the "
            f"archive to send there with python tracking/submit.py"
        )
    for name in asked:
        if name not in PROTOCOLS and name != ALL:
            raise ValueError(f"unknown protocol {name!r}; {suggest(name, [*PROTOCOLS, ALL])}")
    if ALL not in asked:
        return tuple(dict.fromkeys(asked)) or (entry.protocol,)
    covered = any(sequence.cover is not None for sequence in sequences)
    return tuple(dict.fromkeys([entry.protocol, *(name for name in PROTOCOLS if covered or name != "got10k")]))


def compare(
    benchmark: str,
    sequences: Many[Sequence],
    groups: Groups,
    protocols: Many[str],
    attributes: Attributes,
    warnings: Many[str] = (),
) -> Comparison:
    """Score result sets on ``sequences`` by ``protocols``, all of them in one reading of the boxes.

    ``groups`` are the trackers: a label and its result sets, one or several whose mean and deviation are reported.
    Result sets without a result, or with a damaged one, have errors, see ``score_set``. Sequences that our own results
    have and ``sequences`` lack make these a part of the set.
    """
    there, tracked = {sequence.name for sequence in sequences}, set()
    first_only = sum(map(has_first_box_only, sequences))
    if first_only:
        left_out = f"{first_only} of {len(sequences)} sequences have their first frame annotated only and are left out"
        warnings = (*warnings, f"{benchmark}: {left_out}")
    sequences = tuple(sequence for sequence in sequences if not has_first_box_only(sequence))
    annotations = [annotation_of(sequence, benchmark) for sequence in sequences]
    entries = []
    for label, results in groups:
        tracked.update(name for result in results if result.manifest is not None for name in result.names())
        runs = [
            Run(
                score_set(result.label, benchmark, annotations, result.boxes, protocols),
                str(result.source),
                result.producer,
                result.manifest,
                result.mean_seconds(),
                result.boxes,
                result.frame_scores,
            )
            for result in results
        ]
        entries.append(Entry(label, tuple(runs)))
        swept = (sweep_warning(run.manifest) for run in runs if run.manifest)
        warnings = (*warnings, *(f"{benchmark}, {label}: {warning}" for warning in swept if warning))
    found = Comparison(
        benchmark,
        tuple(protocols),
        sequences,
        tuple(entries),
        attributes.sequences,
        attributes.names,
        (*warnings, *attributes.remarks),
        len(sequences) + len(tracked - there),
    )
    if found.part:
        warning = f"{benchmark}: PART, {found.part}: not the whole set"
        found = replace(found, warnings=(warning, *found.warnings))
    return found


def score_names(comparison: Comparison, protocol: str) -> list[str]:
    """The scores that a protocol gives here, by those of the first sequence that it could score; of none, none."""
    scored = (sequence for entry in comparison.entries for run in entry.runs for sequence in run.scores.sequences)
    return next((list(sequence.values(protocol)) for sequence in scored if protocol in sequence.curves), [])


def attribute_values(entry: Entry, protocol: str, names: frozenset[str]) -> dict[str, Spread]:
    """The scores of these sequences as of a set of their own; empty where a run has none."""
    parts = [run.scores.part(protocol, names) for run in entry.runs]
    return spread([{} if part is None else PROTOCOLS[protocol].values(part) for part in parts])


def find_entry(comparison: Comparison, label: str) -> Entry:
    """The tracker of that label; ``ValueError`` for one that is not in the comparison."""
    entry = next((entry for entry in comparison.entries if entry.label == label), None)
    if entry is None:
        known = ", ".join(entry.label for entry in comparison.entries)
        raise ValueError(f"{comparison.benchmark}: no tracker {label!r} in this comparison; it has {known}")
    return entry


def sequence_differences(
    comparison: Comparison, protocol: str, score: str, first: str, second: str
) -> list[Difference]:
    """The score of each sequence by two trackers, where the first is ahead most to where it is behind most, at the end
    those that one of them has no score of. ``ValueError`` for a label that is not in the comparison."""
    rows = []
    entries = [find_entry(comparison, label) for label in (first, second)]
    for number, sequence in enumerate(comparison.sequences):
        rows.append(Difference(sequence.name, *(_sequence_mean(entry, number, protocol, score) for entry in entries)))
    return sorted(rows, key=lambda row: (row.value is None, -row.value if row.value is not None else 0))


def sequence_means(comparison: Comparison) -> list[tuple[Sequence, float | None]]:
    """Each sequence with the mean over trackers of its first score by the first protocol; None where one lacks it."""
    protocol = comparison.protocols[0]
    names = score_names(comparison, protocol)[:1]
    means = []
    for number, sequence in enumerate(comparison.sequences):
        values = [_sequence_mean(entry, number, protocol, name) for name in names for entry in comparison.entries]
        known = bool(values) and all(value is not None and not math.isnan(value) for value in values)
        means.append((sequence, sum(values) / len(values) if known else None))
    return means


def _sequence_mean(entry: Entry, number: int, protocol: str, score: str) -> float | None:
    values = spread([run.scores.sequences[number].values(protocol) for run in entry.runs])
    return values[score].mean if score in values else None


def as_plain(comparison: Comparison) -> dict[str, Any]:
    """Everything in plain types, for JSON: fractions, None for what is no number. Curves of single sequences, the only
    thing left out, are what their boxes give again."""
    return {
        "benchmark": comparison.benchmark,
        "part": comparison.part,
        "protocols": list(comparison.protocols),
        "warnings": list(comparison.warnings),
        "sequences": {sequence.name: len(sequence) for sequence in comparison.sequences},
        "attributes": {
            short: {"name": comparison.attribute_names[short], "sequences": sorted(names)}
            for short, names in comparison.attributes.items()
        },
        "confidence": plain_confidence(comparison),
        "trackers": [_plain_entry(comparison, entry) for entry in comparison.entries],
    }


def plain_confidence(comparison: Comparison) -> dict[str, Any]:
    """What is known of each tracker's scores, by label, in plain types: fractions, and scores as they are."""
    return {
        label: {"missing": found} if isinstance(found, str) else _plain_confidence(found)
        for label, found in comparison.confidence.items()
    }


def _plain_confidence(found: Confidence) -> dict[str, Any]:
    curve = found.reliability
    return {
        "frames": found.frames,
        "on_target": found.on,
        "absent": found.absent,
        "auroc": found.auroc,
        "lost_below": found.threshold and found.threshold.value,
        "for_absent": found.for_absent and found.for_absent._asdict(),
        "for_lost": found.for_lost and found.for_lost._asdict(),
        "reliability": {name: values.tolist() for name, values in curve._asdict().items()},
        "left_out": found.left_out,
    }


def _plain_entry(comparison: Comparison, entry: Entry) -> dict[str, Any]:
    protocols = comparison.protocols
    attributes = {
        short: {name: _plain_spreads(attribute_values(entry, name, those)) for name in protocols}
        for short, those in comparison.attributes.items()
    }
    return {
        "label": entry.label,
        "scores": {name: _plain_spreads(entry.values(name), entry.intervals.get(name, {})) for name in protocols},
        "curves": {name: _plain_curves(entry, name) for name in protocols},
        "attributes": attributes,
        "runs": [_plain_run(run, protocols) for run in entry.runs],
    }


def _plain_run(run: Run, protocols: Many[str]) -> dict[str, Any]:
    return {
        "label": run.scores.label,
        "source": run.source,
        "producer": run.producer,
        "manifest": None if run.manifest is None else dict(run.manifest),
        "seconds_per_frame": _number(run.seconds),
        "scores": {name: _numbers(run.scores.values(name)) for name in protocols},
        "errors": {name: run.scores.errors(name) for name in protocols},
        "notes": {name: {of: list(done) for of, done in run.scores.notes(name).items()} for name in protocols},
        "missing": {sequence.name: sequence.missing for sequence in run.scores.sequences if sequence.missing},
        "sequences": {sequence.name: _plain_sequence(sequence) for sequence in run.scores.sequences},
    }


def _plain_sequence(sequence: SequenceScores) -> dict[str, dict[str, float | None]]:
    return {name: _numbers(sequence.values(name)) for name in sequence.curves}


def _plain_spreads(
    spreads: Mapping[str, Spread], intervals: Mapping[str, tuple[float, float]] | None = None
) -> dict[str, dict[str, Any]]:
    content = {}
    for name, (mean, deviation) in spreads.items():
        content[name] = {"mean": _number(mean), "deviation": _number(deviation)}
        if intervals and name in intervals:
            content[name]["interval"] = [_number(end) for end in intervals[name]]
    return content


def _plain_curves(entry: Entry, protocol: str) -> dict[str, dict[str, list[float]]]:
    """The set's curves, means over runs, with their thresholds."""
    curves = {kind: entry.curve(protocol, kind) for kind in CURVES}
    thresholds = dict(zip(CURVES, PROTOCOLS[protocol].thresholds, strict=True))
    return {
        kind: {"thresholds": thresholds[kind].tolist(), "shares": curve.tolist()}
        for kind, curve in curves.items()
        if curve is not None
    }


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
