"""Overlaps of boxes as continuous rectangles, for uses without a protocol: pictures, confidence, parity."""

import numpy as np


def is_box(boxes: np.ndarray) -> np.ndarray:
    """Which rows of boxes ``[N, 4]`` xywh are boxes: finite, with width and height."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)


def overlaps(boxes_xywh: np.ndarray, others_xywh: np.ndarray) -> np.ndarray:
    """The IoU of each row of boxes ``[N, 4]`` with the same row of others: float64 ``[N]``; 0 if either is no box."""
    both = is_box(boxes_xywh) & is_box(others_xywh)
    a, b = boxes_xywh[both].astype(np.float64), others_xywh[both].astype(np.float64)
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    found = np.zeros(len(both))
    found[both] = shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared)
    return found
