"""The confidence of a comparison's trackers, measured over the frames of all their runs."""

from dataclasses import replace
from itertools import product

import numpy as np

from lib.evaluation.metrics.confidence import Confidence, ScoredFrames, frames_of, measure
from lib.evaluation.reports.comparison import ComparedTracker, Comparison


def with_confidence(comparison: Comparison) -> Comparison:
    """The comparison with the confidence of each tracker, over no frames for one that keeps no scores."""
    return replace(comparison, confidence={entry.label: _confidence(comparison, entry) for entry in comparison.entries})


def _confidence(comparison: Comparison, entry: ComparedTracker) -> Confidence:
    parts = [ScoredFrames(np.empty(0), np.empty(0, bool), np.empty(0, bool))]
    missing, damaged = 0, []
    for run, sequence in product(entry.runs, comparison.sequences):
        try:
            scores = run.results.frame_scores(sequence.name)
            if scores is None:
                missing += 1
                continue
            boxes = run.results.boxes(sequence)
            parts.append(frames_of(sequence, boxes, scores))
        except ValueError as error:
            damaged.append(f"{sequence.name}: {error}")
    words = []
    if missing:
        words.append(f"{missing} of {len(entry.runs) * len(comparison.sequences)} sequences without a file of scores")
    if damaged:
        words.append(f"{len(damaged)} that cannot be read ({damaged[0]})")
    if not words and not any(len(part.scores) for part in parts):
        words.append("no frames that count")
    return measure(ScoredFrames(*map(np.concatenate, zip(*parts, strict=True))), "; ".join(words))
