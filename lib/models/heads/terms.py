"""Single loss terms on plain tensors, in float32: focal loss of a heat map, GIoU and L1 losses of boxes."""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_convert

from lib.geometry.boxes import iou_and_giou

# The smallest side that a center head can predict.
LEAST_BOX_SIDE = 1e-4


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

    An inverted predicted box (x2 < x1 or y2 < y1) counts as one of ``LEAST_BOX_SIDE`` about the same center on that
    axis, and its GIoU is lowered by the length of the inversion: finite, never better than an upright sliver, and with
    a gradient that pulls the edges the right way round. The published code sets the term of the whole batch to 0
    instead.
    """
    low, high = predicted_xyxy.float().split(2, dim=-1)
    target = target_xyxy.float()
    extent, center = high - low, (low + high) / 2
    turned = extent < 0
    upright = torch.cat(
        (torch.where(turned, center - LEAST_BOX_SIDE / 2, low), torch.where(turned, center + LEAST_BOX_SIDE / 2, high)),
        dim=-1,
    )
    overlap, giou = iou_and_giou(upright, target)
    giou = giou + torch.where(turned, extent, 0).sum(dim=-1)
    return (1 - giou).mean(), overlap.detach(), turned.any(dim=-1)


def box_terms(predicted_cxcywh: Tensor, true_xywh: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The terms ``giou`` and ``l1`` of boxes ``[B, 4]`` in fractions of the crop, and the monitors ``iou``, a mean, and
    ``inverted``, the number of inverted boxes (see ``giou_loss``). The true box is clamped to the crop."""
    predicted = box_convert(predicted_cxcywh.float(), "cxcywh", "xyxy")
    target = box_convert(true_xywh.float(), "xywh", "xyxy").clamp(0, 1)
    giou, overlap, inverted = giou_loss(predicted, target)
    terms = {"giou": giou, "l1": functional.l1_loss(predicted, target)}
    return terms, {"iou": overlap.mean(), "inverted": inverted.sum()}
