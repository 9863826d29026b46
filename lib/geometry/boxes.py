"""Boxes as four numbers: turning one format into another, overlap of two, and keeping one on the image.

Formats: ``xywh`` is top-left corner and size, ``cxcywh`` centre and size, ``xyxy`` top-left and bottom-right corner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """``[..., 4]`` xywh to xyxy."""
    corner, size = boxes.split(2, dim=-1)
    return torch.cat((corner, corner + size), dim=-1)


def xyxy_to_xywh(boxes: Tensor) -> Tensor:
    """``[..., 4]`` xyxy to xywh."""
    low, high = boxes.split(2, dim=-1)
    return torch.cat((low, high - low), dim=-1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """``[..., 4]`` cxcywh to xyxy; a negative size gives an inverted box, not an error."""
    center, size = boxes.split(2, dim=-1)
    return torch.cat((center - 0.5 * size, center + 0.5 * size), dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """``[..., 4]`` xyxy to cxcywh."""
    low, high = boxes.split(2, dim=-1)
    return torch.cat(((low + high) / 2, high - low), dim=-1)


def xywh_to_cxcywh(boxes: Tensor) -> Tensor:
    """``[..., 4]`` xywh to cxcywh."""
    corner, size = boxes.split(2, dim=-1)
    return torch.cat((corner + 0.5 * size, size), dim=-1)


def cxcywh_to_xywh(boxes: Tensor) -> Tensor:
    """``[..., 4]`` cxcywh to xywh."""
    center, size = boxes.split(2, dim=-1)
    return torch.cat((center - 0.5 * size, size), dim=-1)


def iou(boxes_a_xyxy: Tensor, boxes_b_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union of row i with row i, and the union's area, both ``[...]``.

    Both boxes need x2 >= x1 and y2 >= y1. Two boxes without area have no union and give NaN, as in the published code.
    """
    area_a = (boxes_a_xyxy[..., 2:] - boxes_a_xyxy[..., :2]).prod(dim=-1)
    area_b = (boxes_b_xyxy[..., 2:] - boxes_b_xyxy[..., :2]).prod(dim=-1)
    low = torch.maximum(boxes_a_xyxy[..., :2], boxes_b_xyxy[..., :2])
    high = torch.minimum(boxes_a_xyxy[..., 2:], boxes_b_xyxy[..., 2:])
    intersection = (high - low).clamp(min=0).prod(dim=-1)
    union = area_a + area_b - intersection
    return intersection / union, union


def generalized_iou(boxes_a_xyxy: Tensor, boxes_b_xyxy: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al., CVPR 2019) of row i with row i, ``[...]``; boxes as ``iou`` takes them."""
    overlap, union = iou(boxes_a_xyxy, boxes_b_xyxy)
    low = torch.minimum(boxes_a_xyxy[..., :2], boxes_b_xyxy[..., :2])
    high = torch.maximum(boxes_a_xyxy[..., 2:], boxes_b_xyxy[..., 2:])
    hull = (high - low).prod(dim=-1)
    return overlap - (hull - union) / hull


def clip_box(box_xywh: Sequence[float] | np.ndarray, image_height: int, image_width: int, margin: float) -> np.ndarray:
    """The box cut to the image, float64 ``[4]`` xywh, in pixels.

    Published rule (GRM, lib/utils/box_ops.py): at least ``margin`` pixels wide and high, and reaching at least
    ``margin`` pixels into the image, so that a tracker never leaves it.
    """
    x, y, width, height = (float(value) for value in box_xywh)
    left, right = min(max(0.0, x), image_width - margin), min(x + width, image_width)
    top, bottom = min(max(0.0, y), image_height - margin), min(y + height, image_height)
    return np.array([left, top, max(margin, right - left), max(margin, bottom - top)], dtype=np.float64)


def clip_center(
    box_xywh: Sequence[float] | np.ndarray, image_height: int, image_width: int, least: float
) -> np.ndarray:
    """The box with its centre brought into the image, and each side between ``least`` and the image's: float64 ``[4]``
    xywh, in pixels. It may reach outside. TransT's rule (pysot_toolkit/trackers/tracker.py, ``_bbox_clip``)."""
    x, y, width, height = (float(value) for value in box_xywh)
    center_x, center_y = (
        max(0.0, min(place, end)) for place, end in ((x + width / 2, image_width), (y + height / 2, image_height))
    )
    width, height = max(least, min(width, image_width)), max(least, min(height, image_height))
    return np.array([center_x - width / 2, center_y - height / 2, width, height], dtype=np.float64)
