"""Scores by protocol: what each public toolkit makes of the same boxes, bad input included.

Each protocol has one function from the boxes of a sequence to curves over thresholds; the scores of a set are read off
the mean of its sequences' curves (GOT-10k: off all its frames together). How they differ, and by how much on the same
boxes, is told in docs/protocols.md. Boxes are xywh in pixels, scores and curves are fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

_EPS = np.finfo(float).eps


class MetricError(ValueError):
    """Boxes of one sequence that its protocol cannot score."""


class Annotation(NamedTuple):
    """What a protocol may know of a sequence.

    ``dataset`` is the benchmark's name (``lasot``), on which some toolkits' rules depend. ``boxes`` float64 ``[N, 4]``.
    ``absent`` bool ``[N]`` and ``cover`` int ``[N]`` are None where the dataset has no such flags. ``image_size`` is
    (width, height), which only GOT-10k's protocol asks for, or None. ``nan_is_absent`` makes a frame whose box is no
    number an absent one, where the toolkit itself refuses it or gives no score (docs/protocols.md).
    """

    name: str
    dataset: str
    boxes: np.ndarray
    absent: np.ndarray | None = None
    cover: np.ndarray | None = None
    image_size: tuple[int, int] | None = None
    nan_is_absent: bool = False


class Curves(NamedTuple):
    """One sequence by one protocol: shares of frames at each of the protocol's thresholds; None where it has no such
    curve. ``overlaps`` are the frames that count, where the protocol pools those of a set. ``notes`` say in words what
    the protocol's own rule did with rows that are missing, too many or no boxes, and the frames it took as invalid."""

    success: np.ndarray
    precision: np.ndarray | None = None
    norm_precision: np.ndarray | None = None
    overlaps: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def _torch_arange(count: int, step: float) -> np.ndarray:
    """``torch.arange`` from 0 in float64, on CPUs that multiply and add in one rounding: four at a time, each from the
    first of its four."""
    firsts = [number // 4 * 4 * step for number in range(count)]
    return np.array([float(Fraction(first) + number % 4 * Fraction(step)) for number, first in enumerate(firsts)])


# Thresholds. pytracking and its descendants count with torch.arange, two of whose points lie beside linspace's.
OVERLAP_21 = np.linspace(0, 1, 21)
OVERLAP_21_TORCH = _torch_arange(21, 0.05)
OVERLAP_101 = np.linspace(0, 1, 101)
PIXELS_51 = np.arange(51.0)
PIXELS_21 = np.linspace(0, 50, 21)
NORMALISED_51 = np.arange(51) / 100
NORMALISED_51_TORCH = _torch_arange(51, 0.01)
NORMALISED_21 = np.linspace(0, 0.5, 21)


def lasot(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """LaSOT's official toolkit (HengLan/LaSOT_Evaluation_Toolkit, MATLAB), and TNL2K's, which has the same rules.

    A row that is no box is answered by the row before. Absent frames are misses of everything; frames whose annotation
    has a value of 0 or less are misses of success and hits of both precisions. Raises ``MetricError`` for too few rows.
    """
    boxes, notes = annotation.boxes, _Notes()
    if len(predicted) < len(boxes):
        raise _wrong_count(boxes, predicted)
    notes.add(len(predicted) - len(boxes), "surplus row(s) cut")
    predicted = predicted[: len(boxes)]
    bad = np.isnan(predicted).any(axis=1) | ~(predicted[:, 2] > 0) | ~(predicted[:, 3] > 0)
    bad &= ~np.isnan(boxes).any(axis=1)
    notes.add(bad[1:].sum(), "row(s) that are no box replaced by the row before")
    predicted = _with_first(_previous_for(predicted, bad), boxes)
    kept = ~_absent(annotation)
    boxes, predicted = boxes[kept], predicted[kept]
    overlap = _overlaps(boxes, predicted)
    centers, answered = _center(boxes), _center(predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = _length(centers - answered)
        normalised = _length(centers / boxes[:, 2:] - answered / boxes[:, 2:])
    invalid = ~(boxes > 0).all(axis=1)
    overlap[invalid] = error[invalid] = normalised[invalid] = -1
    notes.add((invalid & _has_size(boxes)).sum(), _AT_BORDER)
    frames = len(kept)
    return Curves(
        _shares_above(overlap, OVERLAP_21, frames),
        _shares_within(error, PIXELS_51, frames),
        _shares_within(normalised, NORMALISED_51, frames),
        notes=notes.all(),
    )


def pytracking(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """visionml/pytracking, ``pytracking/analysis``: an annotation is valid if all its values are above 0. Of own data,
    which no toolkit knows, it is valid if its width and height are above 0."""
    return _pytracking_family(annotation, predicted, all_above_zero=annotation.dataset != "own", valid_only=False)


def ostrack(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """botaoye/OSTrack, ``lib/test/analysis``: an annotation is valid if its width and height are above 0."""
    return _pytracking_family(annotation, predicted, all_above_zero=False, valid_only=False)


def grm(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """Little-Podi/GRM, ``lib/test/analysis``: as OSTrack, over the valid frames alone; AVisT as pytracking has it."""
    avist = annotation.dataset == "avist"
    return _pytracking_family(annotation, predicted, all_above_zero=avist, valid_only=not avist)


def _pytracking_family(annotation: Annotation, predicted: np.ndarray, all_above_zero: bool, valid_only: bool) -> Curves:
    """The rules that depend on the dataset are kept: absence flags count where the public loaders hand them on (LaSOT,
    its extension, AVisT); a NaN in the annotation is refused but for UAV123; for UAV123 an invalid frame is a hit of
    precision, for LaSOT an absent one is a miss of normalised precision, elsewhere a hit.
    """
    boxes, notes = annotation.boxes, _Notes()
    uav, lasot_rules = annotation.dataset in _UAV, annotation.dataset == "lasot"
    if np.isnan(predicted).any() or (predicted[:, 2:] < 0).any():
        raise MetricError("a predicted box is not a number, or its width or height is below 0")
    unknown = np.isnan(boxes).any(axis=1)
    if unknown.any() and not uav:
        if not annotation.nan_is_absent:
            raise MetricError("the annotation has a box that is not a number")
        boxes = np.where(unknown[:, None], np.nan, boxes)
        notes.add(unknown.sum(), _NO_NUMBER)
    empty = (predicted[:, 2:] == 0).any(axis=1)
    if empty[len(boxes) :].any():
        raise MetricError(f"a box without size in a row after the {len(boxes)} annotated ones")
    missing = len(boxes) - len(predicted)
    if missing > 0 and lasot_rules:
        raise _wrong_count(boxes, predicted)
    notes.add(-missing, "surplus row(s) cut")
    notes.add(missing, "missing row(s) taken as boxes of zeros")
    bad = empty[: len(boxes)] & ~unknown[: len(empty)]
    notes.add(bad[1:].sum(), "row(s) without size replaced by the row before")
    predicted = _previous_for(predicted[: len(boxes)], bad)
    predicted = _with_first(np.concatenate((predicted, np.zeros((max(missing, 0), 4)))), boxes)
    seen = ~_absent(annotation) if annotation.dataset in _FLAGGED else np.ones(len(boxes), dtype=bool)
    valid = ((boxes > 0).all(axis=1) if all_above_zero else _has_size(boxes)) & seen
    notes.add((_has_size(boxes) & seen & ~valid).sum(), _AT_BORDER)
    centers, answered = _center(boxes), _center(predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap = _overlaps(boxes, predicted)
        error = _length(centers - answered)
        normalised = _length(centers / boxes[:, 2:] - answered / boxes[:, 2:])
    overlap[~valid] = normalised[~valid] = -1
    error[~valid] = -1 if uav else np.inf
    if lasot_rules:
        error[~seen] = normalised[~seen] = np.inf
    frames = int(valid.sum()) if valid_only else len(boxes)
    if frames == 0:
        raise MetricError("no frame is valid")
    return Curves(
        _shares_above(overlap, OVERLAP_21_TORCH, frames),
        _shares_within(error, PIXELS_51, frames),
        _shares_within(normalised, NORMALISED_51_TORCH, frames),
        notes=notes.all(),
    )


def got10k(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """got-10k/toolkit, ``ExperimentGOT10k``: the first frame and those with cover 0 are left out, boxes are clipped to
    the image, and an overlap that is not a number makes the AO of its set one. Raises ``MetricError`` where the number
    of boxes differs, at which the toolkit stops, and where a label or the image's size is not known."""
    boxes, cover, notes = annotation.boxes, annotation.cover, _Notes()
    if boxes.shape != predicted.shape:
        raise _wrong_count(boxes, predicted)
    if cover is None or len(cover) != len(boxes):
        found = "none" if cover is None else f"{len(cover)}"
        raise MetricError(f"GOT-10k's protocol needs a cover label for each of {len(boxes)} frames, there are {found}")
    if annotation.image_size is None:
        raise MetricError("GOT-10k's protocol needs the size of the images, which is not known")
    kept = np.flatnonzero(np.asarray(cover)[1:] > 0) + 1
    if annotation.nan_is_absent:
        unknown = np.isnan(boxes[kept]).any(axis=1)
        notes.add(unknown.sum(), _NO_NUMBER)
        kept = kept[~unknown]
    overlaps = _plain_overlaps(*(_clipped(rows[kept], *annotation.image_size) for rows in (boxes, predicted)))
    notes.add(np.isnan(overlaps).sum(), "overlap(s) that are not a number, so the AO is none either")
    success = _shares_above(overlaps, OVERLAP_101, max(len(overlaps), 1))
    return Curves(success, overlaps=overlaps, notes=notes.all())


def got10k_otb(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """got-10k/toolkit, ``ExperimentOTB`` and those derived from it.

    Both lists are cut to the shorter. The UAV and LaSOT variants leave out frames annotated with NaN; LaSOT's has a
    normalised precision, of the difference over max(1, w and h). No absence flags, no image border.
    """
    notes = _Notes()
    notes.add(len(predicted) - len(annotation.boxes), "surplus row(s) cut")
    notes.add(len(annotation.boxes) - len(predicted), "annotated frame(s) without a row left out")
    rows = min(len(annotation.boxes), len(predicted))
    boxes, predicted = annotation.boxes[:rows], _with_first(predicted[:rows], annotation.boxes)
    lasot_rules = annotation.dataset in ("lasot", "lasot_extension_subset")
    if lasot_rules or annotation.dataset in _UAV:
        kept = ~np.isnan(boxes).any(axis=1)
        boxes, predicted = boxes[kept], predicted[kept]
    offset = _center(boxes) - _center(predicted)
    normalised = None
    if lasot_rules:
        normalised = _shares_within(_length(offset / np.maximum(1, boxes[:, 2:])), NORMALISED_51, len(boxes))
    return Curves(
        _shares_above(_plain_overlaps(boxes, predicted), OVERLAP_21, len(boxes)),
        _shares_within(_length(offset), PIXELS_51, len(boxes)),
        normalised,
        notes=notes.all(),
    )


def trackingnet(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """SilvioGiancola/TrackingNet-devkit, ``metrics.py``: boxes are rounded, a row that is missing is a miss, an overlap
    on the threshold counts, and all three scores are areas under curves of 21 points."""
    boxes, notes = np.round(annotation.boxes), _Notes()
    notes.add(len(predicted) - len(boxes), "surplus row(s) cut")
    notes.add(len(boxes) - len(predicted), "missing row(s) are misses")
    whole = np.full_like(boxes, np.nan)
    rows = min(len(boxes), len(predicted))
    whole[:rows] = np.round(predicted[:rows])
    predicted = _with_first(whole, boxes)
    # The devkit's centres lie at xy + (wh + 1) / 2, whose differences are those of (wh - 1) / 2.
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = _center(boxes) - _center(predicted)
        overlap = _overlaps(boxes, predicted)
        normalised = _length(offset / boxes[:, 2:])
    return Curves(
        _shares_from(overlap, OVERLAP_21, len(boxes)),
        _shares_within(_length(offset), PIXELS_21, len(boxes)),
        _shares_within(normalised, NORMALISED_21, len(boxes)),
        notes=notes.all(),
    )


def pysot(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """The pysot toolkit as TransT brings it: the first frame is taken as predicted, nothing is repaired, absent frames
    are misses, and a frame whose annotated centre is not above 0 is a hit of both precisions."""
    boxes = annotation.boxes
    notes = _Notes()
    if len(boxes) != len(predicted):
        raise _wrong_count(boxes, predicted)
    kept, frames = ~_absent(annotation), len(boxes)
    boxes, predicted = boxes[kept], predicted[kept]
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap = _plain_overlaps(boxes, predicted, eps=0)
        centers, answered = _center(boxes), _center(predicted)
        error = _length(centers - answered)
        normalised = _length(centers / boxes[:, 2:] - answered / boxes[:, 2:])
    overlap[~_has_size(boxes)] = -1
    placeless = ~(centers > 0).all(axis=1)
    error[placeless] = normalised[placeless] = -1
    notes.add((placeless & _has_size(boxes)).sum(), "frame(s) taken as hits, as the annotated center is 0 or less")
    return Curves(
        _shares_above(overlap, OVERLAP_21, frames),
        _shares_within(error, PIXELS_51, frames),
        _shares_within(normalised, NORMALISED_51, frames),
        notes=notes.all(),
    )


# Benchmarks whose absence flags the public loaders of the pytracking family hand to the analysis.
_FLAGGED = ("lasot", "lasot_extension_subset", "avist")
# Benchmarks of UAV123's videos, whose rows of NaN the toolkits accept.
_UAV = ("uav", "uav20l", "uav123_10fps")
# Notes that several protocols make.
_AT_BORDER = "frame(s) taken as invalid, as the annotated x or y is 0 or less"
_NO_NUMBER = "frame(s) taken as absent, as the annotation is no number"


def _absent(annotation: Annotation) -> np.ndarray:
    if annotation.absent is None:
        return np.zeros(len(annotation.boxes), dtype=bool)
    return np.asarray(annotation.absent, dtype=bool)


def _has_size(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] > 0).all(axis=1)


def _wrong_count(boxes: np.ndarray, predicted: np.ndarray) -> MetricError:
    return MetricError(f"{len(predicted)} predicted boxes for {len(boxes)} annotated frames")


class _Notes:
    """What was done to rows, in words, with how many."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def add(self, count: int, what: str) -> None:
        """Nothing for a count of 0 or less."""
        if count > 0:
            self._notes.append(f"{count} {what}")

    def all(self) -> tuple[str, ...]:
        return tuple(self._notes)


def _previous_for(predicted: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """The rows, each bad one but the first replaced by the last one before it that is not."""
    rows = np.arange(len(predicted))
    rows[1:][bad[1:]] = 0
    return predicted[np.maximum.accumulate(rows)]


def _with_first(predicted: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    return np.concatenate((boxes[:1], predicted[1:]))


def _center(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def _middle(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + boxes[:, 2:] / 2


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors**2).sum(axis=1))


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlaps of boxes ``[N, 4]`` whose corners are pixels (x + w - 1); the union is not guarded."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:] - 1, b[:, :2] + b[:, 2:] - 1)
    shared = np.maximum(high - low + 1, 0).prod(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared)


def _plain_overlaps(a: np.ndarray, b: np.ndarray, eps: float = _EPS) -> np.ndarray:
    """Overlaps of boxes ``[N, 4]`` as continuous rectangles, clipped to [0, 1]."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    return np.clip(shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared + eps), 0, 1)


def _clipped(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """As the toolkit clips: a corner moved into the image does not shorten its box."""
    x, y = np.clip(boxes[:, 0], 0, width), np.clip(boxes[:, 1], 0, height)
    return np.stack([x, y, np.clip(boxes[:, 2], 0, width - x), np.clip(boxes[:, 3], 0, height - y)], axis=1)


def _counts(values: np.ndarray, thresholds: np.ndarray, side: str) -> np.ndarray:
    """How many values lie below each threshold (``left``), or below or on it (``right``); NaN nowhere."""
    places = np.searchsorted(thresholds, values, side="left" if side == "right" else "right")
    return np.cumsum(np.bincount(places, minlength=len(thresholds) + 1))[: len(thresholds)]


def _shares_above(values: np.ndarray, thresholds: np.ndarray, frames: int) -> np.ndarray:
    known = values[~np.isnan(values)]
    return (len(known) - _counts(known, thresholds, "right")) / frames


def _shares_from(values: np.ndarray, thresholds: np.ndarray, frames: int) -> np.ndarray:
    known = values[~np.isnan(values)]
    return (len(known) - _counts(known, thresholds, "left")) / frames


def _shares_within(values: np.ndarray, thresholds: np.ndarray, frames: int) -> np.ndarray:
    known = values[~np.isnan(values)]
    return _counts(known, thresholds, "right") / frames


def _curve_scores(curves: Curves) -> dict[str, float]:
    """Of pytracking, its descendants, LaSOT and pysot: the mean of the success curve, precisions at 20 px and 0.20."""
    return {
        "AUC": float(curves.success.mean()),
        "OP50": float(curves.success[10]),
        "OP75": float(curves.success[15]),
        "P": float(curves.precision[20]),
        "Pnorm": float(curves.norm_precision[20]),
    }


def _got10k_scores(curves: Curves) -> dict[str, float]:
    overlaps = curves.overlaps
    if len(overlaps) == 0:
        return {"AO": np.nan, "SR0.5": np.nan, "SR0.75": np.nan}
    return {
        "AO": float(overlaps.mean()),
        "SR0.5": float((overlaps > 0.5).mean()),
        "SR0.75": float((overlaps > 0.75).mean()),
    }


def _got10k_otb_scores(curves: Curves) -> dict[str, float]:
    """Normalised precision is the mean of its curve here, not its value at 0.20."""
    scores = {"AUC": float(curves.success.mean()), "OP50": float(curves.success[10]), "P": float(curves.precision[20])}
    if curves.norm_precision is not None:
        scores["Pnorm"] = float(curves.norm_precision.mean())
    return scores


def _areas(curves: Curves) -> dict[str, float]:
    return {
        "AUC": float(np.trapezoid(curves.success, OVERLAP_21)),
        "P": float(np.trapezoid(curves.precision, PIXELS_21) / 50),
        "Pnorm": float(np.trapezoid(curves.norm_precision, NORMALISED_21) / 0.5),
    }


def _mean(sequences: Sequence[Curves]) -> Curves:
    return Curves(*(_mean_of([getattr(curves, name) for curves in sequences]) for name in _CURVES))


def _mean_without_empty(sequences: Sequence[Curves]) -> Curves:
    """LaSOT's toolkit leaves a sequence out of each mean in which its curve is 0 throughout."""
    all_rows = ([getattr(curves, name) for curves in sequences] for name in _CURVES)
    return Curves(*(np.mean([row for row in rows if row.sum() > _EPS] or rows[:1], axis=0) for rows in all_rows))


def _mean_of(rows):
    return None if rows[0] is None else np.mean(rows, axis=0)


def _pooled(sequences: Sequence[Curves]) -> Curves:
    overlaps = np.concatenate([curves.overlaps for curves in sequences])
    return Curves(_shares_above(overlaps, OVERLAP_101, max(len(overlaps), 1)), overlaps=overlaps)


def _once(curves: Curves) -> tuple[float, float, float]:
    return 1.0, 1.0, 1.0


def _once_unless_empty(curves: Curves) -> tuple[float, float, float]:
    return tuple(float(getattr(curves, name).sum() > _EPS) for name in _CURVES)


def _by_frames(curves: Curves) -> tuple[float, float, float]:
    return (float(len(curves.overlaps)),) * 3


_CURVES = ("success", "precision", "norm_precision")


class Protocol(NamedTuple):
    """``score`` a sequence, ``join`` those of a set, and read the ``values`` off either; thresholds for plots.

    ``weights`` are what a sequence counts in the three curves of a set: a set's value is the mean, by these weights, of
    its sequences' values.
    """

    score: Callable[[Annotation, np.ndarray], Curves]
    join: Callable[[Sequence[Curves]], Curves]
    values: Callable[[Curves], dict[str, float]]
    weights: Callable[[Curves], tuple[float, float, float]]
    thresholds: tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


_LASOT_POINTS = (OVERLAP_21, PIXELS_51, NORMALISED_51)
PROTOCOLS = {
    "lasot": Protocol(lasot, _mean_without_empty, _curve_scores, _once_unless_empty, _LASOT_POINTS),
    "pytracking": Protocol(pytracking, _mean, _curve_scores, _once, _LASOT_POINTS),
    "ostrack": Protocol(ostrack, _mean, _curve_scores, _once, _LASOT_POINTS),
    "grm": Protocol(grm, _mean, _curve_scores, _once, _LASOT_POINTS),
    "got10k": Protocol(got10k, _pooled, _got10k_scores, _by_frames, (OVERLAP_101, None, None)),
    "got10k-otb": Protocol(got10k_otb, _mean, _got10k_otb_scores, _once, _LASOT_POINTS),
    "trackingnet": Protocol(trackingnet, _mean, _areas, _once, (OVERLAP_21, PIXELS_21, NORMALISED_21)),
    "pysot": Protocol(pysot, _mean, _curve_scores, _once, _LASOT_POINTS),
}
