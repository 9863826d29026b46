"""Scores of finished results, as a table to read and as plain types to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark, part_in_words
from lib.evaluation.metrics.protocols import Annotation, Curves
from lib.evaluation.metrics.scoring import SetScores, annotation_of, has_first_box_only, score_set
from lib.evaluation.reports.remarks import SHOWN_NOTES, listed, notes_in_words
from lib.evaluation.results.folder import ResultsFolder, sweep_warning
from lib.runtime.escapes import printable, printable_lines


@dataclass(frozen=True, eq=False)
class BenchmarkScore:
    """One results folder scored by every protocol; ``protocol`` is the benchmark's own, whose numbers are shown.

    Where ``server`` scores, ``scores`` is None and results are only checked to be complete. ``missing`` says of each
    sequence without a complete result why it has none. Of ``first_box_only`` nothing but the first frame is annotated:
    they are tracked, not scored. ``others`` are sequences of the set that this score is without: they were not asked
    for, or have a result in the folder and no data any more.
    """

    benchmark: str
    protocol: str
    server: str
    folder: Path
    manifest: Mapping[str, Any]
    sequences: tuple[str, ...]
    missing: Mapping[str, str]
    scores: SetScores | None
    first_box_only: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """``2 of 70 sequences`` where these are fewer than the set has; empty of the whole."""
        return part_in_words(self.benchmark, len(self.sequences), len(self.sequences) + len(self.others))

    @property
    def values(self) -> dict[str, float]:
        """The scores by name, in fractions; empty where a sequence has none, or where a server scores."""
        return self.scores.values(self.protocol) if self.scores else {}

    @property
    def curves(self) -> Curves | None:
        """The benchmark's curves, None where it has no score."""
        return self.scores.overall[self.protocol] if self.scores else None

    @property
    def errors(self) -> dict[str, str]:
        """The sequences without a score by the benchmark's protocol, and why; a program that has any exits non-zero."""
        if self.scores is None:
            return dict(self.missing)
        unscored = {name: why for name, why in self.missing.items() if name in self.first_box_only}
        return unscored | self.scores.errors(self.protocol)

    def by_sequence(self) -> dict[str, dict[str, float]]:
        """The scores of each sequence that the benchmark's protocol could score, in fractions."""
        scored = self.scores.sequences if self.scores else ()
        return {entry.name: entry.values(self.protocol) for entry in scored if self.protocol in entry.curves}

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON: scores by every protocol of the set and each sequence, None for what is no number."""
        content = {
            "benchmark": self.benchmark,
            "protocol": self.protocol,
            "part": self.part,
            "scored_by": self.server or "this program",
            "results": str(self.folder),
            "manifest": dict(self.manifest),
            "errors": self.errors,
        }
        if self.scores is None:
            return content
        curves = self.curves
        return content | {
            "scores": {name: _plain(self.scores.values(name)) for name in self.scores.overall},
            "success_curve": None if curves is None else curves.success.tolist(),
            "sequences": {
                entry.name: {
                    "scores": {name: _plain(entry.values(name)) for name in entry.curves},
                    "errors": dict(entry.errors),
                    "notes": {name: list(curves.notes) for name, curves in entry.curves.items() if curves.notes},
                }
                for entry in self.scores.sequences
            },
        }


def score_benchmark(
    benchmark: str,
    sequences: Many[Sequence],
    folder: ResultsFolder,
    unreadable: Mapping[str, str] = MappingProxyType({}),
    left_out: Many[str] = (),
) -> BenchmarkScore:
    """Score the results of ``sequences`` in ``folder`` by every protocol in one pass.

    A sequence without a complete result, or that a protocol refuses, is that protocol's error, and the protocol then
    gives no score for the set. ``unreadable`` are sequences of the set that could not be read or tracked, and why;
    ``left_out`` are those that were not asked for. Where a server holds the ground truth, results are only checked to
    be complete.
    """
    entry = find_benchmark(benchmark)
    boxes, missing = {}, dict(unreadable)
    for sequence in sequences:
        try:
            boxes[sequence.name] = folder.boxes(sequence)
        except ValueError as error:
            missing[sequence.name] = str(error)

    def find_boxes(annotation: Annotation) -> np.ndarray:
        if annotation.name in missing:
            raise ValueError(missing[annotation.name])
        return boxes[annotation.name]

    scores = None
    if not entry.server:
        annotations = [annotation_of(item, benchmark) for item in sequences if not has_first_box_only(item)]
        scores = score_set(folder.path.name, benchmark, annotations, find_boxes, unreadable=unreadable)
    first_only = () if entry.server else tuple(item.name for item in sequences if has_first_box_only(item))
    names = (*(sequence.name for sequence in sequences), *unreadable)
    others = tuple(dict.fromkeys([*left_out, *folder.others({*names, *left_out})]))
    return BenchmarkScore(
        benchmark,
        entry.protocol,
        entry.server,
        folder.path,
        folder.manifest(),
        names,
        missing,
        scores,
        first_only,
        others,
    )


def table(scores: list[BenchmarkScore]) -> str:
    """A line for each results folder, its protocol beside its numbers (percent); below, what else must be known."""
    rows = [("benchmark", "results", "protocol", "scores (%)", "sequences")]
    for score in scores:
        scored = len(score.sequences) - len(score.errors)
        complete = f"{scored}/{len(score.sequences)}{f' (part: {score.part})' if score.part else ''}"
        rows.append((score.benchmark, score.folder.name, score.protocol, values_text(score.values), complete))
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return printable_lines(lines + [note for score in scores for note in _notes(score)])


def values_text(values: Mapping[str, float]) -> str:
    """Scores in percent with their names, ``AO 75.71  SR0.5 91.10``; a dash for none."""
    return "  ".join(f"{name} {100 * value:.2f}" for name, value in values.items()) or "-"


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _notes(score: BenchmarkScore) -> list[str]:
    where = f"{score.benchmark} {score.folder.name}"
    notes = []
    if score.server:
        notes.append(f"{where}: ground truth beyond the first frame is not public; {score.server} scores these results")
    if score.manifest["overrides"]:
        changed = ", ".join(f"{key}={value}" for key, value in score.manifest["overrides"].items())
        notes.append(f"{where}: settings of this benchmark: {changed}")
    if warning := sweep_warning(score.manifest):
        notes.append(f"{where}: WARNING: {warning}")
    if score.scores is not None:
        notes += [f"{where}: {line}" for line in notes_in_words(score.scores, [score.protocol])]
    if score.first_box_only:
        counts = f"{len(score.first_box_only)} of {len(score.sequences)} sequences"
        notes.append(f"{where}: {counts} have their first frame annotated only: they are tracked, not scored")
    if score.part:
        without = f", without {listed(score.others, SHOWN_NOTES)}; score.json is left alone" if score.others else ""
        notes.append(f"{where}: PART, {score.part}: not the whole set{without}")
    if score.errors:
        counts = f"{len(score.errors)} of {len(score.sequences)} sequences failed"
        without = "" if score.server else f": the {score.protocol} protocol gives no score for the set"
        notes.append(f"{where}: INCOMPLETE, {counts}{without}")
    return notes + [f"{where}: FAILED {name}: {reason}" for name, reason in score.errors.items()]
