"""The overlaps of two boxes, and the one change of format that torchvision's ``box_convert`` rounds otherwise.

Formats: ``xywh`` is top-left corner and size, ``cxcywh`` center and size, ``xyxy`` top-left and bottom-right corner.
"""

import torch
from torch import Tensor


def xywh_to_cxcywh(boxes: Tensor) -> Tensor:
    """``[..., 4]`` xywh to cxcywh."""
    corner, size = boxes.split(2, dim=-1)
    return torch.cat((corner + 0.5 * size, size), dim=-1)


def iou_and_giou(boxes_a_xyxy: Tensor, boxes_b_xyxy: Tensor, least: float = 0.0) -> tuple[Tensor, Tensor]:
    """IoU and generalized IoU (Rezatofighi et al., CVPR 2019) of row i with row i, both ``[...]``.

    Both boxes need x2 >= x1 and y2 >= y1. Unions and hulls count as ``least`` at least. With 0, two boxes without area
    have no union and give NaN, as in most published code; above 0, two equal points have the IoU 0.
    """
    (low_a, high_a), (low_b, high_b) = boxes_a_xyxy.split(2, dim=-1), boxes_b_xyxy.split(2, dim=-1)
    area_a, area_b = (high_a - low_a).prod(dim=-1), (high_b - low_b).prod(dim=-1)
    intersection = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(dim=-1)
    union = (area_a + area_b - intersection).clamp(min=least)
    hull = (torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)).prod(dim=-1).clamp(min=least)
    iou = intersection / union
    return iou, iou - (hull - union) / hull
