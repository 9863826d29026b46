"""Scores by protocol: how good the predicted boxes of a sequence, and of a whole benchmark, are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

GOT10K_THRESHOLDS = np.linspace(0, 1, 101)


class MetricError(ValueError):
    """Boxes of one sequence that its protocol cannot score."""


@dataclass(frozen=True, eq=False)
class Got10kScores:
    """GOT-10k's scores in fractions: ``ao`` the mean overlap, ``sr50`` and ``sr75`` the share of frames with an overlap
    above 0.5 and 0.75, ``success_curve`` ``[101]`` that share at thresholds 0, 0.01 .. 1; over ``frames`` frames."""

    ao: float
    sr50: float
    sr75: float
    success_curve: np.ndarray
    frames: int

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "ao": self.ao,
            "sr50": self.sr50,
            "sr75": self.sr75,
            "frames": self.frames,
            "success_curve": self.success_curve.tolist(),
        }


def got10k_overlaps(
    boxes: np.ndarray, predicted: np.ndarray, cover: np.ndarray | None, image_width: int, image_height: int
) -> np.ndarray:
    """Overlaps of the frames that GOT-10k's protocol counts: all but the first whose ``cover`` is above 0.

    ``boxes`` and ``predicted`` are ``[N, 4]`` xywh in pixels, ``cover`` ``[N]`` is the visible share in eighths. As in
    the official toolkit (got-10k/toolkit, ``ExperimentGOT10k``) both boxes are clipped to the image first, and absence
    flags are not used. Raises ``MetricError`` where the number of boxes differs or an overlap is NaN; the toolkit stops
    at the former and answers NaN for the latter.
    """
    if boxes.shape != predicted.shape:
        raise MetricError(f"{len(predicted)} predicted boxes for {len(boxes)} annotated frames; run the sequence again")
    if cover is None or len(cover) != len(boxes):
        found = "none" if cover is None else f"{len(cover)}"
        raise MetricError(f"GOT-10k's protocol needs a cover label for each of {len(boxes)} frames, there are {found}")
    annotated, answered = (_inside(xywh[1:], image_width, image_height) for xywh in (boxes, predicted))
    overlaps = _overlaps(annotated, answered)
    counted = np.asarray(cover)[1:] > 0
    broken = np.flatnonzero(np.isnan(overlaps) & counted)
    if len(broken):
        frame = 1 + int(broken[0])
        culprit = "ground truth" if np.isnan(boxes[frame]).any() else "predicted box"
        raise MetricError(f"the {culprit} of frame {frame} (from 0), which counts, is not a number")
    return overlaps[counted]


def got10k_scores(overlaps: np.ndarray) -> Got10kScores | None:
    """Scores of a sequence, or of a set when ``overlaps`` holds the frames of all its sequences; None without frames.

    A set's score weighs every frame the same: it is not the mean of its sequences' scores.
    """
    if len(overlaps) == 0:
        return None
    curve = (overlaps[:, None] > GOT10K_THRESHOLDS).mean(axis=0)
    return Got10kScores(
        ao=float(overlaps.mean()),
        sr50=float((overlaps > 0.5).mean()),
        sr75=float((overlaps > 0.75).mean()),
        success_curve=curve,
        frames=len(overlaps),
    )


def _inside(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes xywh clipped as the toolkit does: a corner moved into the image does not shorten its box."""
    x = np.clip(boxes[:, 0], 0, width)
    y = np.clip(boxes[:, 1], 0, height)
    return np.stack([x, y, np.clip(boxes[:, 2], 0, width - x), np.clip(boxes[:, 3], 0, height - y)], axis=1)


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union, row by row, of boxes xywh ``[N, 4]``; 0 where both are empty."""
    shared = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    intersection = np.maximum(shared, 0).prod(axis=1)
    union = a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - intersection
    return np.clip(intersection / (union + np.finfo(float).eps), 0, 1)
