"""Boxes drawn on a frame, each in its color."""

from collections.abc import Collection, Mapping

import cv2
import numpy as np

from lib.geometry.overlaps import is_box
from lib.visualization.sheet import FONT

# Distinct for color-blind readers too (Okabe and Ito); the first is for the ground truth.
BOX_COLORS = (
    (0, 230, 118),
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
TRUTH_COLOR, PREDICTED_COLOR = BOX_COLORS[:2]
GRAY = (190, 190, 190)


def draw_boxes(image: np.ndarray, boxes: Mapping[str, np.ndarray], lost: Collection[str] = ()) -> np.ndarray:
    """A copy of the image (uint8 RGB ``[H, W, 3]``) with each target's box, xywh in pixels, under its name.

    Colors follow the order of the targets. A target that is ``lost`` has a gray box and a question mark; one whose box
    is not finite or has no size is not drawn. Lines and letters grow with the image.
    """
    drawn = np.ascontiguousarray(image).copy()
    thickness = max(2, round(min(image.shape[:2]) / 180))
    for number, (name, box) in enumerate(boxes.items()):
        color, label = (GRAY, f"{name} ?") if name in lost else (BOX_COLORS[number % len(BOX_COLORS)], name)
        if outline(drawn, box, color, thickness):
            _write_tag(drawn, label, np.round(box[:2]).astype(int), color, thickness)
    return drawn


def outline(image: np.ndarray, box: np.ndarray, color: tuple[int, int, int], thickness: int) -> bool:
    """Draw a box, xywh in pixels, into the image; False for one that is not finite or has no size."""
    box = np.asarray(box, dtype=np.float64)
    if not is_box(box[None])[0]:
        return False
    first = np.round(box[:2]).astype(int)
    last = np.round(box[:2] + box[2:]).astype(int) - 1
    cv2.rectangle(image, first.tolist(), last.tolist(), color, thickness)
    return True


def _write_tag(image: np.ndarray, text: str, first: np.ndarray, color: tuple[int, int, int], thickness: int) -> None:
    """A name on its box's color, above the box, or inside it where it touches the image's top."""
    side = min(image.shape[:2])
    scale, weight = max(0.4, side / 800), max(1, round(side / 500))
    (width, height), base = cv2.getTextSize(text, FONT, scale, weight)
    left = int(np.clip(first[0] - thickness // 2, 0, max(0, image.shape[1] - width - 8)))
    bottom = int(first[1])
    if bottom < height + base + 4:
        bottom = int(min(max(first[1], 0) + height + base + 4, image.shape[0]))
    cv2.rectangle(image, (left, bottom - height - base - 4), (left + width + 8, bottom), color, cv2.FILLED)
    ink = (0, 0, 0) if np.dot(color, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
    cv2.putText(image, text, (left + 4, bottom - base - 1), FONT, scale, ink, weight, cv2.LINE_AA)
