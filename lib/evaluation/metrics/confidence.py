"""How a tracker's score relates to its box: how often the box is on the target, and the score below which it is lost.

Each frame has a score, from the file beside the boxes (``_scores.txt``). docs/confidence.md lists which frames
count as what.
"""

from collections import abc
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from lib.data.types import Sequence
from lib.evaluation.results.result_set import ResultSet
from lib.geometry.overlaps import is_box, overlaps

ON_TARGET = 0.5  # a box with a larger overlap is on the target, as in SR0.5 and OP50
BINS = 10


class ScoredFrames(NamedTuple):
    """Frames with known ground truth: float64 ``scores [N]``, bool ``on [N]`` where the box is on the target and bool
    ``absent [N]`` where no target is visible."""

    scores: np.ndarray
    on: np.ndarray
    absent: np.ndarray


class Reliability(NamedTuple):
    """Frames in the order of their score, in bins of about equal size: the mean ``scores``, the ``shares`` of frames on
    the target, and the ``counts`` of frames, each ``[B]``. Equal scores are in one bin."""

    scores: np.ndarray
    shares: np.ndarray
    counts: np.ndarray


class Threshold(NamedTuple):
    """A frame is lost if its score is below ``value``. ``found`` is the share of lost frames below it, and
    ``false_alarms`` the share of frames on the target below it."""

    value: float
    found: float
    false_alarms: float


@dataclass(frozen=True, eq=False)
class Confidence:
    """A tracker's scores on a benchmark, over the frames of all its runs.

    ``frames`` counts all of them, ``on`` those with the box on the target, ``absent`` those without a target. ``auroc``
    is the probability that a frame on the target has a higher score than another frame, None where one kind of frames
    is missing. ``thresholds`` separate frames on the target from ``absent`` ones and from all that are ``lost``, as far
    as there are both kinds. ``left_out`` describes files that could not be read.
    """

    frames: int
    on: int
    absent: int
    reliability: Reliability
    auroc: float | None
    thresholds: abc.Mapping[str, Threshold]
    left_out: str = ""

    @property
    def threshold(self) -> Threshold | None:
        """The one for ``test.tracker.lost_below``: by the absent frames where there are any."""
        return next(iter(self.thresholds.values()), None)


def confidence_of(runs: abc.Sequence[ResultSet], sequences: abc.Sequence[Sequence]) -> Confidence:
    """The confidence over the frames of all runs of a tracker, over no frames for one that keeps no scores."""
    parts = [ScoredFrames(np.empty(0), np.empty(0, bool), np.empty(0, bool))]
    missing, damaged = 0, []
    for results, sequence in product(runs, sequences):
        try:
            if (scores := results.frame_scores(sequence.name)) is None:
                missing += 1
            else:
                parts.append(frames_of(sequence, results.boxes(sequence), scores))
        except ValueError as error:
            damaged.append(f"{sequence.name}: {error}")
    words = []
    if missing:
        words.append(f"{missing} of {len(runs) * len(sequences)} sequences without a file of scores")
    if damaged:
        words.append(f"{len(damaged)} that cannot be read ({damaged[0]})")
    if not words and not any(len(part.scores) for part in parts):
        words.append("no frames that count")
    return measure_confidence(ScoredFrames(*map(np.concatenate, zip(*parts, strict=True))), "; ".join(words))


def measure_confidence(frames: ScoredFrames, left_out: str = "") -> Confidence:
    """The confidence over these frames."""
    on, lost = frames.scores[frames.on], frames.scores[~frames.on]
    found = {"absent": best_threshold(on, frames.scores[frames.absent]), "lost": best_threshold(on, lost)}
    return Confidence(
        len(frames.scores),
        int(frames.on.sum()),
        int(frames.absent.sum()),
        reliability(frames.scores, frames.on),
        auroc(on, lost),
        {kind: threshold for kind, threshold in found.items() if threshold},
        left_out,
    )


def auroc(positive: np.ndarray, negative: np.ndarray) -> float | None:
    """The share of pairs in which the positive has the higher score, equal scores counting half; None without a pair.

    Counted by ranks (the statistic of Mann and Whitney, 1947), with the mean rank for equal scores.
    """
    if not (len(positive) and len(negative)):
        return None
    _, numbers, counts = np.unique(np.concatenate([positive, negative]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[numbers]
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))


def best_threshold(on: np.ndarray, lost: np.ndarray) -> Threshold | None:
    """The threshold with the largest difference between both shares (Youden's J, 1950), the lowest of equals; None
    without frames of one kind. It is the middle between two neighboring scores."""
    if not (len(on) and len(lost)):
        return None
    values = np.unique(np.concatenate([on, lost]))
    below_on, below_lost = (np.searchsorted(np.sort(part), values) / len(part) for part in (on, lost))
    # Below the lowest score and above the highest the difference is 0.
    best = int(np.argmax(below_lost - below_on))
    middle = (values[max(0, best - 1)] + values[best]) / 2
    return Threshold(float(middle), float(below_lost[best]), float(below_on[best]))


def reliability(scores: np.ndarray, on: np.ndarray, bins: int = BINS) -> Reliability:
    """Bins of the frames by their scores."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])) if len(scores) else np.empty(0)
    places = np.searchsorted(edges, scores, side="right")
    _, numbers, counts = np.unique(places, return_inverse=True, return_counts=True)
    return Reliability(np.bincount(numbers, scores) / counts, np.bincount(numbers, on) / counts, counts)


def frames_of(sequence: Sequence, boxes: np.ndarray, scores: np.ndarray) -> ScoredFrames:
    """The frames of a sequence that count: all but the first, which the tracker was given, and those without ground
    truth.

    A target is absent where the dataset flags it or GOT-10k's cover is 0; in a dataset without flags, where its
    annotation is no box. A frame flagged as present without a box has no ground truth. Raises ``ValueError`` where the
    numbers of scores, boxes and frames differ.
    """
    if not len(scores) == len(boxes) == len(sequence.boxes):
        raise ValueError(f"{len(scores)} scores and {len(boxes)} boxes for {len(sequence.boxes)} frames")
    annotated = is_box(sequence.boxes)
    absent = ~annotated if sequence.absent is None and sequence.cover is None else np.zeros(len(boxes), bool)
    if sequence.absent is not None:
        absent |= np.asarray(sequence.absent, dtype=bool)
    if sequence.cover is not None:
        absent |= np.asarray(sequence.cover) == 0
    known = (absent | annotated) & np.isfinite(scores)
    known[0] = False
    on = ~absent & (overlaps(sequence.boxes, boxes) > ON_TARGET)
    return ScoredFrames(scores[known].astype(np.float64), on[known], absent[known])
