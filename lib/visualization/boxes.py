"""Boxes drawn on a frame, each in its colour, with a legend."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from lib.visualization.sheet import FONT

# Told apart by the colour-blind too (Okabe and Ito); the first is for the ground truth.
COLOURS = ((0, 230, 118), (230, 159, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178))


def draw_boxes(image: np.ndarray, boxes: Mapping[str, np.ndarray]) -> np.ndarray:
    """A copy of the image (uint8 RGB ``[H, W, 3]``) with each label's box, xywh in pixels.

    Colours follow the order of the labels. A box that is not finite or has no size is not drawn, and its label says
    "absent".
    """
    drawn = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(image.shape[:2]) / 200))
    for number, (label, box) in enumerate(boxes.items()):
        colour = COLOURS[number % len(COLOURS)]
        present = bool(np.isfinite(box).all() and box[2] > 0 and box[3] > 0)
        if present:
            first = np.round(box[:2]).astype(int)
            last = np.round(box[:2] + box[2:]).astype(int) - 1
            cv2.rectangle(drawn, first.tolist(), last.tolist(), colour, thickness)
        _write(drawn, label if present else f"{label}: absent", number, colour)
    return drawn


def _write(image: np.ndarray, text: str, line: int, colour: tuple[int, int, int]) -> None:
    """A line of the legend, left top, readable on any ground."""
    scale = max(0.3, min(image.shape[:2]) / 700)
    (width, height), base = cv2.getTextSize(text, FONT, scale, 1)
    top = line * (height + base + 3)
    cv2.rectangle(image, (0, top), (width + 4, top + height + base + 2), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (2, top + height + 2), FONT, scale, colour, 1, cv2.LINE_AA)
