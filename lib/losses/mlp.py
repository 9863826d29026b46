"""The objective of the MLP head: cross-entropy of every cell, GIoU and L1 of the cells on the target."""

import math

import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional

from lib.geometry.boxes import cxcywh_to_xyxy, generalized_iou, iou, xywh_to_cxcywh, xywh_to_xyxy
from lib.losses.objective import Objective, ObjectiveConfig, ObjectiveResult
from lib.models.base import MLPPrediction


def cells_on_target(boxes_xywh: Tensor, n: int) -> Tensor:
    """The positive cells of an n x n grid: bool ``[B, n * n]``, row-major, for boxes ``[B, 4]`` in fractions.

    TransT's rule (ltr/models/loss/matcher.py): along each axis the cells from ceil(n * min) up to, not including,
    ceil(n * max), at least one; a cell counts by its upper left corner. The published code does not clamp these
    numbers, so a box that begins a cell or more left of or above the crop becomes a slice with a negative start:
    usually no positives, or those of the opposite side. Kept, since the released weights were trained so.
    """
    # In float64, as published: in float32 the product may step over a whole number.
    edges = (n * xywh_to_xyxy(boxes_xywh.double())).ceil()
    start, stop = edges.split(2, dim=1)
    stop = stop + (stop == start)
    # As in numpy's slices, a negative end counts from the far side.
    start, stop = ((end + n * (end < 0)).clamp(0, n) for end in (start, stop))
    cells = torch.arange(n, device=boxes_xywh.device)
    columns, rows = ((cells >= start[:, axis, None]) & (cells < stop[:, axis, None]) for axis in (0, 1))
    return (rows[:, :, None] & columns[:, None, :]).flatten(1)


class MLPObjectiveConfig(ObjectiveConfig):
    """Adds ``classification``, the weight of the cross-entropy, and ``background``, the weight of a background cell in
    it (TransT)."""

    classification: NonNegativeFloat = 8.334
    background: NonNegativeFloat = 0.0625


class MLPObjective(Objective):
    """Loss of a ``MLPPrediction``, as TransT publishes it (ltr/models/tracking/transt.py), in float32.

    All denominators are of the batch: the cross-entropy is a mean weighted by class, GIoU and L1 (summed over the four
    coordinates) are divided by the number of positives, at least 1. The true box is not clamped. Monitors: ``iou``,
    mean over positives, and ``accuracy``, the share of positives classified as target.
    """

    def __init__(self, config: MLPObjectiveConfig) -> None:
        self.weights = {"classification": config.classification, "giou": config.giou, "l1": config.l1}
        self.background = config.background

    def __call__(self, prediction: MLPPrediction, search_box: Tensor) -> ObjectiveResult:
        """``search_box`` ``[B, 4]``: the true boxes, xywh in fractions of the search crop."""
        logits, target = prediction.logits.float(), search_box.float()
        positive = cells_on_target(target, math.isqrt(logits.shape[1]))
        count = positive.sum().clamp(min=1)
        classes = functional.cross_entropy(
            logits.flatten(0, 1), (~positive).long().flatten(), weight=logits.new_tensor([1.0, self.background])
        )
        boxes, owner = prediction.boxes.float()[positive], positive.nonzero()[:, 0]
        predicted, true = cxcywh_to_xyxy(boxes), xywh_to_xyxy(target)[owner]
        terms = {
            "classification": classes,
            "giou": (1 - generalized_iou(predicted, true)).sum() / count,
            "l1": (boxes - xywh_to_cxcywh(target)[owner]).abs().sum() / count,
        }
        total = sum(weight * terms[name] for name, weight in self.weights.items())
        hits = (logits.argmax(dim=-1) == 0) & positive
        monitors = {"iou": iou(predicted.detach(), true)[0].sum() / count, "accuracy": hits.sum() / count}
        return ObjectiveResult(total, terms, monitors)
