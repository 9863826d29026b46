"""Overlaps of boxes as continuous rectangles, for what no protocol defines: pictures and the confidence of trackers."""

import numpy as np


def is_box(boxes: np.ndarray) -> np.ndarray:
    """Which rows of boxes ``[N, 4]`` xywh are boxes: finite, with width and height."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)


def overlaps(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Float64 ``[N]``: overlaps of boxes xywh; 0 for a prediction that is no box, infinite without an annotation."""
    annotated, answered = is_box(truth), is_box(predicted)
    both = annotated & answered
    found = np.where(annotated, 0.0, np.inf)
    a, b = truth[both].astype(np.float64), predicted[both].astype(np.float64)
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    found[both] = shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared)
    return found
