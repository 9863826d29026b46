"""What reports are made of: trackers side by side on one benchmark, each with one result set or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.data.types import Sequence
from lib.evaluation.benchmarks import named_part, part_in_words
from lib.evaluation.metrics.scoring import Boxes, SetScores

if TYPE_CHECKING:
    from lib.evaluation.metrics.confidence import Confidence

# The curves a protocol may have, in the order of its thresholds, and the score it reads off each: that of the name it
# uses.
CURVES = {"success": ("AUC", "AO"), "precision": ("P",), "norm_precision": ("Pnorm",)}


@dataclass(frozen=True, eq=False)
class Run:
    """One result set that was scored.

    ``source`` is where it lies and ``producer`` who wrote it that way. ``manifest`` is that of our own results
    (settings, checkpoint hash, versions), None for others. ``seconds`` are mean seconds a frame, None where no times
    are kept. ``boxes(annotation)`` reads a sequence's boxes again, for pictures, and raises what ``score_set`` takes
    from it; None where there are to be no pictures. ``frame_scores(name)`` reads the tracker's own score of each frame
    of a sequence, float64 ``[N]``, None where it kept none, and raises ``ValueError``.
    """

    scores: SetScores
    source: str
    producer: str
    manifest: Mapping[str, Any] | None = None
    seconds: float | None = None
    boxes: Boxes | None = None
    frame_scores: Callable[[str], np.ndarray | None] | None = None


class Spread(NamedTuple):
    """A score, in fractions: the mean over runs and their sample deviation, None for one run."""

    mean: float
    deviation: float | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """A tracker in a comparison: its runs are one, or the seeds or epochs whose mean and deviation are reported.

    ``intervals`` are bootstrap confidence intervals (low, high) over sequences, in fractions, by protocol and score;
    empty where none were asked for.
    """

    label: str
    runs: tuple[Run, ...]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)

    def values(self, protocol: str) -> dict[str, Spread]:
        """The set's scores by name; empty where the protocol gives none to one of the runs."""
        return spread([run.scores.values(protocol) for run in self.runs])

    def curve(self, protocol: str, kind: str) -> np.ndarray | None:
        """The set's curve of one kind of ``CURVES``, the mean over runs, shares of frames at the protocol's thresholds;
        None where the protocol has no such curve or gives none to one of the runs."""
        curves = [run.scores.overall[protocol] for run in self.runs]
        rows = [None if joined is None else getattr(joined, kind) for joined in curves]
        return None if not rows or any(row is None for row in rows) else np.mean(rows, axis=0)


def spread(values: Iterable[Mapping[str, float]]) -> dict[str, Spread]:
    """Mean and deviation over runs of scores by name, in the order of the first; empty where a run has none."""
    runs = list(values)
    shared = [name for name in runs[0] if all(name in run for run in runs)] if runs else []
    rows = {name: [run[name] for run in runs] for name in shared}
    return {
        name: Spread(float(np.mean(row)), float(np.std(row, ddof=1)) if len(row) > 1 else None)
        for name, row in rows.items()
    }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Trackers on one benchmark. ``protocols`` are the ones asked for, the first is the benchmark's own unless the user
    chose; ``attributes`` are sequence names by attribute (short name), with ``attribute_names`` in words; empty where
    none are known. ``warnings`` stand above every report (a sweep on a test set, say). ``known`` is how many sequences
    the set has at least, where results show that it had more than ``sequences``. ``confidence`` is that of each
    tracker, by label, or the reason why it has none; empty where it was not asked for."""

    benchmark: str
    protocols: tuple[str, ...]
    sequences: tuple[Sequence, ...]
    entries: tuple[Entry, ...]
    attributes: Mapping[str, frozenset[str]]
    attribute_names: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    known: int = 0
    confidence: Mapping[str, Confidence | str] = field(default_factory=dict)

    @property
    def part(self) -> str:
        """``2 of 70 sequences`` where these are fewer than the benchmark has; empty of the whole."""
        return part_in_words(self.benchmark, len(self.sequences), self.known)

    @property
    def title(self) -> str:
        """The benchmark, or which part of it, for the head of every table and picture."""
        return named_part(self.benchmark, self.part)
