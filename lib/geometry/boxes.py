"""The overlap of two boxes, and the one change of format that torchvision's ``box_convert`` rounds otherwise.

Formats: ``xywh`` is top-left corner and size, ``cxcywh`` center and size, ``xyxy`` top-left and bottom-right corner.
"""

import torch
from torch import Tensor


def xywh_to_cxcywh(boxes: Tensor) -> Tensor:
    """``[..., 4]`` xywh to cxcywh."""
    corner, size = boxes.split(2, dim=-1)
    return torch.cat((corner + 0.5 * size, size), dim=-1)


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
    """Generalized IoU (Rezatofighi et al., CVPR 2019) of row i with row i, ``[...]``; boxes as ``iou`` takes them."""
    overlap, union = iou(boxes_a_xyxy, boxes_b_xyxy)
    low = torch.minimum(boxes_a_xyxy[..., :2], boxes_b_xyxy[..., :2])
    high = torch.maximum(boxes_a_xyxy[..., 2:], boxes_b_xyxy[..., 2:])
    hull = (high - low).prod(dim=-1)
    return overlap - (hull - union) / hull
