"""Single loss terms on plain tensors, in float32: focal loss of a heat map, GIoU loss of boxes."""

import torch
from torch import Tensor

from lib.geometry.boxes import generalized_iou, iou

# The smallest side that a center head can predict.
LEAST_SIDE = 1e-4


def focal_loss(scores: Tensor, heatmap: Tensor) -> Tensor:
    """Penalty-reduced focal loss (CenterNet, eq. 1; alpha 2, beta 4) of scores against a heat map of the same shape.

    Cells equal to 1 are positives. The sum is divided once, by the positives of the whole group; a group without any is
    not divided. Scores lie in (0, 1); one of exactly 1 makes the loss infinite or NaN, and heads keep theirs below.
    """
    scores, heatmap = scores.float().clamp(min=1e-12), heatmap.float()
    positive, negative = (heatmap == 1).float(), (heatmap < 1).float()
    hits = torch.log(scores) * (1 - scores) ** 2 * positive
    misses = torch.log(1 - scores) * scores**2 * (1 - heatmap) ** 4 * negative
    return -(hits.sum() + misses.sum()) / positive.sum().clamp(min=1)


def giou_loss(predicted_xyxy: Tensor, target_xyxy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of 1 - GIoU over boxes ``[N, 4]``; also, without gradient, IoU ``[N]`` and which boxes are inverted ``[N]``.

    An inverted predicted box (x2 < x1 or y2 < y1) counts as one of ``LEAST_SIDE`` about the same center on that axis,
    and its GIoU is lowered by the length of the inversion: finite, never better than an upright sliver, and with a
    gradient that pulls the edges the right way round. The published code sets the term of the whole batch to 0 instead.
    """
    low, high = predicted_xyxy.float().split(2, dim=-1)
    target = target_xyxy.float()
    extent, center = high - low, (low + high) / 2
    turned = extent < 0
    upright = torch.cat(
        (torch.where(turned, center - LEAST_SIDE / 2, low), torch.where(turned, center + LEAST_SIDE / 2, high)), dim=-1
    )
    giou = generalized_iou(upright, target) + torch.where(turned, extent, 0).sum(dim=-1)
    return (1 - giou).mean(), iou(upright.detach(), target)[0], turned.any(dim=-1)
