"""The distance head: from each cell's own vector, a score and the distances of its center to the box's four sides.
Each cell's score is trained to be the IoU of its own box."""

import math
from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_convert

from lib.config.schema import Section
from lib.geometry.boxes import iou_and_giou
from lib.geometry.grids import touched_cells
from lib.models.heads.base import Head, Objective, ObjectiveResult
from lib.models.heads.mlp import Perceptron

# Least union and hull, as a share of the crop's area, that an overlap is divided by.
LEAST_AREA = 1e-6


class DistancePrediction(NamedTuple):
    """A ``Prediction`` of a distance head: a score and a box from every cell of an F x F grid, N = F * F in row-major
    order.

    ``logits`` ``[B, N]``, whose sigmoid is the score; ``corners`` ``[B, N, 4]``: the boxes as xyxy in fractions of the
    crop.
    """

    boxes: Tensor
    scores: Tensor
    logits: Tensor
    corners: Tensor
    extras: dict[str, Tensor]


class DistanceHead(nn.Module):
    """Two perceptrons with two hidden layers, one for the score and one for the box (LoRAT's head); published names.

    A distance is a sigmoid: at most one crop, so a box may reach outside. Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int, grid: int) -> None:
        super().__init__()
        self.candidates = grid**2
        self.cls_mlp, self.reg_mlp = _perceptron(width, channels, 1), _perceptron(width, channels, 4)
        line = (torch.arange(grid, dtype=torch.float32) + 0.5) / grid
        centers = torch.stack([line.repeat(grid), line.repeat_interleave(grid)], dim=1)
        self.register_buffer("centers", centers, persistent=False)

    def forward(self, features: Tensor) -> DistancePrediction:
        """``features`` ``[B, C, F, F]``."""
        with torch.autocast(features.device.type, enabled=False):
            vectors = features.float().flatten(2).transpose(1, 2)
            logits, distances = self.cls_mlp(vectors).squeeze(2), self.reg_mlp(vectors).sigmoid()
            before, behind = distances.split(2, dim=2)
            corners = torch.cat([self.centers - before, self.centers + behind], dim=2)
        return DistancePrediction(box_convert(corners, "xyxy", "cxcywh"), logits.sigmoid(), logits, corners, extras={})


def _perceptron(width: int, hidden: int, outputs: int) -> Perceptron:
    """A perceptron with LoRAT's activation and initial weights."""
    perceptron = Perceptron(width, hidden, outputs, functional.gelu)
    for layer in perceptron.layers:
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    return perceptron


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

    The true box is clipped to the crop; all cells that it touches are positives. The target of the binary cross-entropy
    is the IoU of a positive cell's box, without gradient, and 0 in other cells. GIoU is over positives. Both are sums,
    divided by the number of positives, at least 1. Monitors: ``iou``, mean over the group's positives.
    """

    terms = ("classification", "giou")

    def __init__(self, config: DistanceObjectiveConfig) -> None:
        super().__init__(config)
        self.counts_steps = config.denominator == "step"

    def count(self, search_box: Tensor, grid: int) -> Tensor:
        return touched_cells(search_box, grid).sum()

    def __call__(
        self, prediction: DistancePrediction, search_box: Tensor, count: Tensor | None = None
    ) -> ObjectiveResult:
        logits, true = prediction.logits.float(), box_convert(search_box.float(), "xywh", "xyxy").clamp(0, 1)
        positive = touched_cells(search_box, math.isqrt(logits.shape[1]))
        own = positive.sum()
        denominator = (own if count is None else count).clamp(min=1)
        corners, owner = prediction.corners.float()[positive], positive.nonzero()[:, 0]
        overlap, generalized = iou_and_giou(corners, true[owner], least=LEAST_AREA)
        wanted = torch.zeros_like(logits).masked_scatter(positive, overlap.detach())
        classification = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
        terms = {"classification": classification / denominator, "giou": (1 - generalized).sum() / denominator}
        return self.result(terms, {"iou": overlap.detach().sum() / own.clamp(min=1)})


HEAD = Head("distance", DistancePrediction, DistanceHead, DistanceObjectiveConfig, DistanceObjective)
