"""The objective of the distance head: each cell's score is trained to be the IoU of its own box."""

import math
from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lib.config.schema import Section
from lib.geometry.boxes import xywh_to_xyxy
from lib.geometry.grids import touched_cells
from lib.losses.objective import Objective, ObjectiveResult
from lib.models.base import DistancePrediction

# Least union and hull, as a share of the crop's area, that an overlap is divided by.
LEAST_AREA = 1e-6


class DistanceObjectiveConfig(Section):
    """Weights of the terms ``classification`` and ``giou``, and the ``denominator`` of both.

    ``denominator``: "step", the number of positives in a step over all processes, divided by its groups (LoRAT);
    "group", the number in the group.
    """

    classification: NonNegativeFloat = 1.0
    giou: NonNegativeFloat = 1.0
    denominator: Literal["step", "group"] = "step"


class DistanceObjective(Objective):
    """Loss of a ``DistancePrediction``, as LoRAT publishes it (criteria/methods/box_with_score_map), in float32.

    The true box is clipped to the crop; all cells that it touches are positives. The binary cross-entropy of a positive
    cell has the IoU of its box as target, without gradient, that of other cells 0. GIoU is of positives alone. Both are
    sums, divided by the number of positives, at least 1. Monitors: ``iou``, mean over the group's positives.
    """

    def __init__(self, config: DistanceObjectiveConfig) -> None:
        self.weights = {"classification": config.classification, "giou": config.giou}
        self.counts_steps = config.denominator == "step"

    def count(self, search_box: Tensor, grid: int) -> Tensor:
        """The number of positives among the cells of a grid of that side."""
        return touched_cells(search_box, grid).sum()

    def __call__(
        self, prediction: DistancePrediction, search_box: Tensor, count: Tensor | None = None
    ) -> ObjectiveResult:
        """``search_box`` ``[B, 4]``: the true boxes, xywh in fractions of the search crop."""
        logits, true = prediction.logits.float(), xywh_to_xyxy(search_box.float()).clamp(0, 1)
        positive = touched_cells(search_box, math.isqrt(logits.shape[1]))
        own = positive.sum()
        denominator = (own if count is None else count).clamp(min=1)
        corners, owner = prediction.corners.float()[positive], positive.nonzero()[:, 0]
        overlap, generalized = floored_overlaps(corners, true[owner])
        wanted = torch.zeros_like(logits).masked_scatter(positive, overlap.detach())
        terms = {
            "classification": binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / denominator,
            "giou": (1 - generalized).sum() / denominator,
        }
        total = sum(weight * terms[name] for name, weight in self.weights.items())
        return ObjectiveResult(total, terms, {"iou": overlap.detach().sum() / own.clamp(min=1)})


def floored_overlaps(boxes_a_xyxy: Tensor, boxes_b_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalized IoU of row i with row i, both ``[N]``. Unions and hulls have at least ``LEAST_AREA``, so two
    equal points have the IoU 0 and none is NaN."""
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (boxes_a_xyxy, boxes_b_xyxy))
    inner_low = torch.maximum(boxes_a_xyxy[:, :2], boxes_b_xyxy[:, :2])
    inner_high = torch.minimum(boxes_a_xyxy[:, 2:], boxes_b_xyxy[:, 2:])
    intersection = (inner_high - inner_low).clamp(min=0).prod(dim=1)
    union = (area_a + area_b - intersection).clamp(min=LEAST_AREA)
    outer_low = torch.minimum(boxes_a_xyxy[:, :2], boxes_b_xyxy[:, :2])
    outer_high = torch.maximum(boxes_a_xyxy[:, 2:], boxes_b_xyxy[:, 2:])
    hull = (outer_high - outer_low).prod(dim=1).clamp(min=LEAST_AREA)
    overlap = intersection / union
    return overlap, overlap - (hull - union) / hull
