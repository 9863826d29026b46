"""Scores by protocol: each public toolkit's result for the same boxes, bad input included.

Each protocol has one function from the boxes of a sequence to curves over thresholds. The scores of a set are read off
the mean of its sequences' curves (GOT-10k: weighted by frames). docs/protocols.md lists how the protocols
differ, and by how much on the same boxes. Boxes are xywh in pixels, scores and curves are fractions.
"""

from collections import abc
from fractions import Fraction
from typing import NamedTuple

import numpy as np

_EPS = np.finfo(float).eps


class MetricError(ValueError):
    """Boxes of one sequence that its protocol cannot score."""


class Annotation(NamedTuple):
    """The ground truth of a sequence.

    ``dataset`` is the benchmark's name (``lasot``): some toolkits' rules depend on it. ``boxes`` float64 ``[N, 4]``.
    ``absent`` bool ``[N]`` and ``cover`` int ``[N]`` are None where the dataset has no such flags. ``image_size`` is
    (width, height) or None; only GOT-10k's protocol needs it. ``nan_is_absent`` makes a frame whose box has a NaN an
    absent one where the toolkit itself refuses it or gives no score.
    """

    dataset: str
    boxes: np.ndarray
    absent: np.ndarray | None = None
    cover: np.ndarray | None = None
    image_size: tuple[int, int] | None = None
    nan_is_absent: bool = False


class Curves(NamedTuple):
    """A sequence by one protocol: shares of frames at each threshold, float64 ``[T]``; None where the protocol has no
    such curve. A set has the means of its sequences' curves, and several sets have them in leading axes.

    ``overlap`` is the mean overlap of the counted ``frames`` where the protocol reports it. ``notes`` are the rows that
    the protocol's own rule changed, and the frames that it took as invalid: how many, and in words.
    """

    success: np.ndarray
    precision: np.ndarray | None = None
    norm_precision: np.ndarray | None = None
    overlap: np.ndarray | None = None
    frames: int = 0
    notes: tuple[tuple[int, str], ...] = ()


def _torch_arange(count: int, step: float) -> np.ndarray:
    """``torch.arange`` from 0 in float64, on CPUs that multiply and add in one rounding: four at a time, each from the
    first of its four."""
    firsts = [number // 4 * 4 * step for number in range(count)]
    return np.array([float(Fraction(first) + number % 4 * Fraction(step)) for number, first in enumerate(firsts)])


# Thresholds by the name of the curve. pytracking and its descendants count with torch.arange, two of whose points
# differ from linspace's.
Thresholds = abc.Mapping[str, np.ndarray]
USUAL = {"success": np.linspace(0, 1, 21), "precision": np.arange(51.0), "norm_precision": np.arange(51) / 100}
TORCH = USUAL | {"success": _torch_arange(21, 0.05), "norm_precision": _torch_arange(51, 0.01)}
TRACKINGNET = {kind: np.linspace(0, end, 21) for kind, end in zip(USUAL, (1, 50, 0.5), strict=True)}
GOT10K = {"success": np.linspace(0, 1, 101)}

# Benchmarks whose absence flags the public loaders of the pytracking family pass to the analysis.
_FLAGGED = ("lasot", "lasot_extension_subset", "avist")
# Benchmarks of UAV123's videos, whose rows of NaN the toolkits accept.
_UAV = ("uav", "uav20l", "uav123_10fps")
# Notes that several protocols make.
_AT_BORDER = "frame(s) taken as invalid, as the annotated x or y is 0 or less"
_NO_NUMBER = "frame(s) taken as absent, as the annotation is no number"
_SURPLUS = "surplus row(s) cut"


def lasot(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """LaSOT's official toolkit (HengLan/LaSOT_Evaluation_Toolkit, MATLAB), and TNL2K's, which has the same rules.

    The row before replaces a row that is no box. Absent frames are misses of everything; frames whose annotation has a
    value of 0 or less are misses of success and hits of both precisions. Raises ``MetricError`` for too few rows.
    """
    boxes = annotation.boxes
    surplus = len(predicted) - len(boxes)
    if surplus < 0:
        raise _wrong_count(boxes, predicted)
    predicted = predicted[: len(boxes)]
    bad = (np.isnan(predicted).any(axis=1) | ~_has_size(predicted)) & ~np.isnan(boxes).any(axis=1)
    predicted = _with_first(_previous_for(predicted, bad), boxes)
    kept = ~_absent(annotation)
    overlap, error, normalized = _measures(boxes[kept], predicted[kept])
    invalid = ~(boxes[kept] > 0).all(axis=1)
    overlap[invalid] = error[invalid] = normalized[invalid] = -1
    notes = _notes(
        (surplus, _SURPLUS),
        (bad[1:].sum(), "row(s) that are no box replaced by the row before"),
        ((invalid & _has_size(boxes[kept])).sum(), _AT_BORDER),
    )
    return _curves(overlap, error, normalized, len(boxes), notes)


def pytracking(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """visionml/pytracking, ``pytracking/analysis``: an annotation is valid if all its values are above 0. For own data,
    which no toolkit knows, it is valid if its width and height are above 0."""
    return _pytracking_family(annotation, predicted, all_above_zero=annotation.dataset != "own", valid_only=False)


def ostrack(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """botaoye/OSTrack, ``lib/test/analysis``: an annotation is valid if its width and height are above 0."""
    return _pytracking_family(annotation, predicted, all_above_zero=False, valid_only=False)


def grm(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """Little-Podi/GRM, ``lib/test/analysis``: as OSTrack, but divided by the number of valid frames. Invalid ones still
    count as hits of normalized precision (UAV123: of both), which can then exceed 1. AVisT as in pytracking."""
    avist = annotation.dataset == "avist"
    return _pytracking_family(annotation, predicted, all_above_zero=avist, valid_only=not avist)


def _pytracking_family(annotation: Annotation, predicted: np.ndarray, all_above_zero: bool, valid_only: bool) -> Curves:
    """Some rules depend on the dataset. Absence flags count where the public loaders pass them on. A NaN in the
    annotation is refused except for UAV123. For UAV123 an invalid frame is a hit of precision; for LaSOT an absent one
    is a miss of normalized precision, elsewhere a hit.
    """
    boxes = annotation.boxes
    uav, lasot_rules = annotation.dataset in _UAV, annotation.dataset == "lasot"
    if np.isnan(predicted).any() or (predicted[:, 2:] < 0).any():
        raise MetricError("a predicted box is not a number, or its width or height is below 0")
    unknown = np.isnan(boxes).any(axis=1)
    if unknown.any() and not uav:
        if not annotation.nan_is_absent:
            raise MetricError("the annotation has a box that is not a number")
        boxes = np.where(unknown[:, None], np.nan, boxes)
    empty = (predicted[:, 2:] == 0).any(axis=1)
    if empty[len(boxes) :].any():
        raise MetricError(f"a box without size in a row after the {len(boxes)} annotated ones")
    missing = len(boxes) - len(predicted)
    if missing > 0 and lasot_rules:
        raise _wrong_count(boxes, predicted)
    bad = empty[: len(boxes)] & ~unknown[: len(empty)]
    predicted = _previous_for(predicted[: len(boxes)], bad)
    predicted = _with_first(np.concatenate((predicted, np.zeros((max(missing, 0), 4)))), boxes)
    seen = ~_absent(annotation) if annotation.dataset in _FLAGGED else np.ones(len(boxes), dtype=bool)
    valid = ((boxes > 0).all(axis=1) if all_above_zero else _has_size(boxes)) & seen
    overlap, error, normalized = _measures(boxes, predicted)
    overlap[~valid] = normalized[~valid] = -1
    error[~valid] = -1 if uav else np.inf
    if lasot_rules:
        error[~seen] = normalized[~seen] = np.inf
    frames = int(valid.sum()) if valid_only else len(boxes)
    if frames == 0:
        raise MetricError("no frame is valid")
    notes = _notes(
        (0 if uav else unknown.sum(), _NO_NUMBER),
        (-missing, _SURPLUS),
        (missing, "missing row(s) taken as boxes of zeros"),
        (bad[1:].sum(), "row(s) without size replaced by the row before"),
        ((_has_size(boxes) & seen & ~valid).sum(), _AT_BORDER),
    )
    return _curves(overlap, error, normalized, frames, notes, TORCH)


def got10k(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """got-10k/toolkit, ``ExperimentGOT10k``: the first frame and those with cover 0 are left out, boxes are clipped to
    the image, and an overlap of NaN makes the AO of its set NaN.

    Raises ``MetricError`` for another number of boxes, as the toolkit does, and for a missing label or image size.
    """
    boxes, cover = annotation.boxes, annotation.cover
    if boxes.shape != predicted.shape:
        raise _wrong_count(boxes, predicted)
    if cover is None or len(cover) != len(boxes):
        found = "none" if cover is None else f"{len(cover)}"
        raise MetricError(f"GOT-10k's protocol needs a cover label for each of {len(boxes)} frames, there are {found}")
    if annotation.image_size is None:
        raise MetricError("GOT-10k's protocol needs the size of the images, which is not known")
    kept = np.flatnonzero(np.asarray(cover)[1:] > 0) + 1
    unknown = np.isnan(boxes[kept]).any(axis=1) & annotation.nan_is_absent
    kept = kept[~unknown]
    overlaps = _plain_overlaps(*(_clipped(rows[kept], *annotation.image_size) for rows in (boxes, predicted)))
    notes = _notes(
        (unknown.sum(), _NO_NUMBER),
        (np.isnan(overlaps).sum(), "overlap(s) that are not a number, so the AO is none either"),
    )
    if not len(overlaps):
        return Curves(np.full(101, np.nan), overlap=np.array(np.nan), notes=notes)
    success = _shares_above(overlaps, GOT10K["success"], len(overlaps))
    return Curves(success, overlap=overlaps.mean(), frames=len(overlaps), notes=notes)


def got10k_otb(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """got-10k/toolkit, ``ExperimentOTB`` and those derived from it.

    Both lists are cut to the shorter. The UAV and LaSOT variants leave out frames annotated with NaN; LaSOT's has a
    normalized precision, of the difference over max(1, w and h). No absence flags, no image border.
    """
    surplus = len(predicted) - len(annotation.boxes)
    rows = min(len(annotation.boxes), len(predicted))
    boxes, predicted = annotation.boxes[:rows], _with_first(predicted[:rows], annotation.boxes)
    lasot_rules = annotation.dataset in ("lasot", "lasot_extension_subset")
    if lasot_rules or annotation.dataset in _UAV:
        kept = ~np.isnan(boxes).any(axis=1)
        boxes, predicted = boxes[kept], predicted[kept]
    offset = _center(boxes) - _center(predicted)
    normalized = _length(offset / np.maximum(1, boxes[:, 2:])) if lasot_rules else None
    notes = _notes((surplus, _SURPLUS), (-surplus, "annotated frame(s) without a row left out"))
    return _curves(_plain_overlaps(boxes, predicted), _length(offset), normalized, len(boxes), notes)


def trackingnet(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """SilvioGiancola/TrackingNet-devkit, ``metrics.py``: boxes are rounded, a missing row is a miss, an overlap on the
    threshold counts, and all three scores are areas under curves of 21 points."""
    boxes = np.round(annotation.boxes)
    surplus = len(predicted) - len(boxes)
    whole = np.full_like(boxes, np.nan)
    rows = min(len(boxes), len(predicted))
    whole[:rows] = np.round(predicted[:rows])
    predicted = _with_first(whole, boxes)
    # The devkit's centers are at xy + (wh + 1) / 2, whose differences are those of (wh - 1) / 2.
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = _center(boxes) - _center(predicted)
        overlap = _overlaps(boxes, predicted)
        normalized = _length(offset / boxes[:, 2:])
    notes = _notes((surplus, _SURPLUS), (-surplus, "missing row(s) are misses"))
    return _curves(overlap, _length(offset), normalized, len(boxes), notes, TRACKINGNET, "right")


def pysot(annotation: Annotation, predicted: np.ndarray) -> Curves:
    """The pysot toolkit in TransT's version: the first frame counts as predicted, nothing is repaired, absent frames
    are misses, and a frame whose annotated center is not above 0 is a hit of both precisions."""
    boxes = annotation.boxes
    if len(boxes) != len(predicted):
        raise _wrong_count(boxes, predicted)
    kept = ~_absent(annotation)
    boxes, predicted = boxes[kept], predicted[kept]
    _, error, normalized = _measures(boxes, predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap = _plain_overlaps(boxes, predicted, eps=0)
    overlap[~_has_size(boxes)] = -1
    placeless = ~(_center(boxes) > 0).all(axis=1)
    error[placeless] = normalized[placeless] = -1
    count = (placeless & _has_size(boxes)).sum()
    notes = _notes((count, "frame(s) taken as hits, as the annotated center is 0 or less"))
    return _curves(overlap, error, normalized, len(kept), notes)


def _absent(annotation: Annotation) -> np.ndarray:
    flags = annotation.absent
    return np.zeros(len(annotation.boxes), bool) if flags is None else np.asarray(flags, dtype=bool)


def _has_size(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] > 0).all(axis=1)


def _wrong_count(boxes: np.ndarray, predicted: np.ndarray) -> MetricError:
    return MetricError(f"{len(predicted)} predicted boxes for {len(boxes)} annotated frames")


def _notes(*counts: tuple[int, str]) -> tuple[tuple[int, str], ...]:
    return tuple((int(count), words) for count, words in counts if count > 0)


def _previous_for(predicted: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """The rows; the last good row before replaces each bad one but the first."""
    rows = np.arange(len(predicted))
    rows[1:][bad[1:]] = 0
    return predicted[np.maximum.accumulate(rows)]


def _with_first(predicted: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    return np.concatenate((boxes[:1], predicted[1:]))


def _center(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors**2).sum(axis=1))


def _measures(boxes: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlaps, distances of the centers in pixels, and distances in units of the annotated width and height."""
    centers, answered = _center(boxes), _center(predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        normalized = _length(centers / boxes[:, 2:] - answered / boxes[:, 2:])
        return _overlaps(boxes, predicted), _length(centers - answered), normalized


def _overlaps(a: np.ndarray, b: np.ndarray, pixel: int = 1, eps: float = 0.0) -> np.ndarray:
    """Overlaps of boxes ``[N, 4]`` whose corners are pixels (x + w - 1), as continuous rectangles with ``pixel`` 0;
    ``eps`` guards the union."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:] - pixel, b[:, :2] + b[:, 2:] - pixel)
    shared = np.maximum(high - low + pixel, 0).prod(axis=1)
    return shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared + eps)


def _plain_overlaps(a: np.ndarray, b: np.ndarray, eps: float = _EPS) -> np.ndarray:
    """Overlaps of boxes ``[N, 4]`` as continuous rectangles, clipped to [0, 1]."""
    return np.clip(_overlaps(a, b, 0, eps), 0, 1)


def _clipped(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Clipped as the toolkit does: a corner moved into the image does not shorten its box."""
    x, y = np.clip(boxes[:, 0], 0, width), np.clip(boxes[:, 1], 0, height)
    return np.stack([x, y, np.clip(boxes[:, 2], 0, width - x), np.clip(boxes[:, 3], 0, height - y)], axis=1)


def _shares_above(values: np.ndarray, thresholds: np.ndarray, frames: int, side: str = "left") -> np.ndarray:
    """The shares of ``frames`` with a value above each threshold, on ``side`` "right" also on it; NaN never counts."""
    return np.searchsorted(np.sort(-values), -thresholds, side) / frames


def _shares_within(values: np.ndarray, thresholds: np.ndarray, frames: int) -> np.ndarray:
    return np.searchsorted(np.sort(values), thresholds, "right") / frames


def _curves(
    overlap: np.ndarray,
    error: np.ndarray,
    normalized: np.ndarray | None,
    frames: int,
    notes: tuple[tuple[int, str], ...],
    points: Thresholds = USUAL,
    side: str = "left",
) -> Curves:
    return Curves(
        _shares_above(overlap, points["success"], frames, side),
        _shares_within(error, points["precision"], frames),
        None if normalized is None else _shares_within(normalized, points["norm_precision"], frames),
        notes=notes,
    )


Scores = dict[str, np.ndarray]  # by name: a number for each set of ``Curves``


def _curve_scores(curves: Curves) -> Scores:
    """pytracking, its descendants, LaSOT and pysot: the mean of the success curve, precisions at 20 px and 0.20."""
    return {
        "AUC": curves.success.mean(axis=-1),
        "OP50": curves.success[..., 10],
        "OP75": curves.success[..., 15],
        "P": curves.precision[..., 20],
        "Pnorm": curves.norm_precision[..., 20],
    }


def _got10k_scores(curves: Curves) -> Scores:
    return {"AO": curves.overlap, "SR0.5": curves.success[..., 50], "SR0.75": curves.success[..., 75]}


def _got10k_otb_scores(curves: Curves) -> Scores:
    """Normalized precision is the mean of its curve here, not its value at 0.20."""
    mean, normalized = curves.success.mean(axis=-1), curves.norm_precision
    scores = {"AUC": mean, "OP50": curves.success[..., 10], "P": curves.precision[..., 20]}
    return scores if normalized is None else scores | {"Pnorm": normalized.mean(axis=-1)}


def _areas(curves: Curves) -> Scores:
    areas = (np.trapezoid(getattr(curves, kind), points) / points[-1] for kind, points in TRACKINGNET.items())
    return dict(zip(("AUC", "P", "Pnorm"), areas, strict=True))


class Protocol(NamedTuple):
    """``score`` a sequence, read the ``values`` off its curves or a set's; ``thresholds`` of its curves, for plots.

    ``weight`` is a sequence's weight in the mean of one of its curves over a set.
    """

    score: abc.Callable[[Annotation, np.ndarray], Curves]
    values: abc.Callable[[Curves], Scores] = _curve_scores
    weight: abc.Callable[[Curves, np.ndarray], float] = lambda curves, curve: 1.0
    thresholds: Thresholds = USUAL

    def join(self, sequences: abc.Sequence[Curves], counts: np.ndarray | None = None) -> Curves:
        """The curves of a set, the weighted means of its sequences'. ``counts`` ``[..., N]`` is how often each of them
        is in the set, once by default; leading axes are those of several sets.

        A curve of NaN makes the means NaN, in every set. A set of sequences without weight has the curve of one.
        """
        counts = np.ones(len(sequences)) if counts is None else counts
        means = {}
        for name in ("success", "precision", "norm_precision", "overlap"):
            rows = [getattr(curves, name) for curves in sequences]
            if rows[0] is None:
                continue
            weights = np.array([self.weight(curves, row) for curves, row in zip(sequences, rows, strict=True)])
            rows = np.reshape(rows, (len(rows), -1))
            total = (counts @ weights)[..., None]
            sums = counts @ np.where(weights > 0, weights * rows.T, 0).T
            with np.errstate(invalid="ignore"):
                mean = np.where(total > 0, sums / total, rows[np.argmin(weights)])
            means[name] = mean[..., 0] if name == "overlap" else mean
        return Curves(**means)


PROTOCOLS = {
    # LaSOT's toolkit leaves a sequence out of each mean in which its curve is 0 throughout.
    "lasot": Protocol(lasot, weight=lambda curves, curve: float(curve.sum() > _EPS)),
    "pytracking": Protocol(pytracking),
    "ostrack": Protocol(ostrack),
    "grm": Protocol(grm),
    # GOT-10k's mean is over all frames of a set together.
    "got10k": Protocol(got10k, _got10k_scores, lambda curves, curve: float(curves.frames), GOT10K),
    "got10k-otb": Protocol(got10k_otb, values=_got10k_otb_scores),
    "trackingnet": Protocol(trackingnet, values=_areas, thresholds=TRACKINGNET),
    "pysot": Protocol(pysot),
}
