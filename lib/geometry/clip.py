"""Keeping a box on the image. Without torch, which a tracker on an exported network does not need."""

from collections import abc

import numpy as np


def clip_box(
    box_xywh: abc.Sequence[float] | np.ndarray, image_height: int, image_width: int, margin: float
) -> np.ndarray:
    """The box cut to the image, float64 ``[4]`` xywh, in pixels.

    Published rule (GRM, lib/utils/box_ops.py): at least ``margin`` pixels wide and high, and reaching at least
    ``margin`` pixels into the image, so that a tracker never leaves it.
    """
    x, y, width, height = (float(value) for value in box_xywh)
    left, right = min(max(0.0, x), image_width - margin), min(x + width, image_width)
    top, bottom = min(max(0.0, y), image_height - margin), min(y + height, image_height)
    return np.array([left, top, max(margin, right - left), max(margin, bottom - top)], dtype=np.float64)


def clip_inside(box_xywh: abc.Sequence[float] | np.ndarray, image_height: int, image_width: int) -> np.ndarray | None:
    """The part of the box inside the image, float64 ``[4]`` xywh, in pixels; None if there is none."""
    x, y, width, height = (float(value) for value in box_xywh)
    left, right = (min(max(0.0, edge), image_width) for edge in (x, x + width))
    top, bottom = (min(max(0.0, edge), image_height) for edge in (y, y + height))
    return np.array([left, top, right - left, bottom - top]) if left < right and top < bottom else None


def raise_sides(box_xywh: np.ndarray, least: float) -> np.ndarray:
    """The box about its center with sides of ``least`` pixels at least."""
    extent = np.maximum(box_xywh[2:], least)
    return np.concatenate((box_xywh[:2] + 0.5 * (box_xywh[2:] - extent), extent))


def clip_center(
    box_xywh: abc.Sequence[float] | np.ndarray, image_height: int, image_width: int, least: float
) -> np.ndarray:
    """The box with its center brought into the image, and each side between ``least`` and the image's: float64 ``[4]``
    xywh, in pixels. It may reach outside. TransT's rule (pysot_toolkit/trackers/tracker.py, ``_bbox_clip``)."""
    x, y, width, height = (float(value) for value in box_xywh)
    center_x, center_y = (
        max(0.0, min(place, end)) for place, end in ((x + width / 2, image_width), (y + height / 2, image_height))
    )
    width, height = max(least, min(width, image_width)), max(least, min(height, image_height))
    return np.array([center_x - width / 2, center_y - height / 2, width, height], dtype=np.float64)
