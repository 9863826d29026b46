"""The MLP head: a class and a box from each cell's own vector."""

import math
from collections import abc
from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_convert

from lib.geometry.boxes import iou_and_giou, xywh_to_cxcywh
from lib.geometry.grids import cells_between
from lib.models.heads.base import Head, Objective, ObjectiveConfig, ObjectiveResult


class MLPPrediction(NamedTuple):
    """A ``Prediction`` of an MLP head: a class and a box from every cell of an F x F grid, N = F * F in row-major
    order.

    ``logits`` ``[B, N, 2]``: target, then background, as in TransT. The scores are the target's softmax.
    """

    boxes: Tensor
    scores: Tensor
    logits: Tensor
    extras: dict[str, Tensor]


class Perceptron(nn.Module):
    """Three linear layers, with an activation after the first two."""

    def __init__(
        self, width: int, hidden: int, outputs: int, activation: abc.Callable[[Tensor], Tensor] = functional.relu
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)])
        self.activation = activation

    def forward(self, vectors: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            vectors = self.activation(layer(vectors))
        return self.layers[-1](vectors)


class MLPHead(nn.Module):
    """Two perceptrons with two hidden layers, one for classes and one for boxes (TransT's head); published names.

    Boxes are cxcywh in fractions of the crop, not relative to the cell. Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int, grid: int) -> None:
        super().__init__()
        self.candidates = grid**2
        self.class_embed = Perceptron(width, channels, 2)
        self.bbox_embed = Perceptron(width, channels, 4)

    def forward(self, features: Tensor) -> MLPPrediction:
        """``features`` ``[B, C, F, F]``."""
        with torch.autocast(features.device.type, enabled=False):
            vectors = features.float().flatten(2).transpose(1, 2)
            logits, boxes = self.class_embed(vectors), self.bbox_embed(vectors).sigmoid()
            return MLPPrediction(boxes, logits.softmax(dim=-1)[..., 0], logits, extras={})


def cells_on_target(boxes_xywh: Tensor, n: int) -> Tensor:
    """The positive cells of an n x n grid: bool ``[B, n * n]``, row-major, for boxes ``[B, 4]`` in fractions.

    TransT's rule (ltr/models/loss/matcher.py): along each axis the cells from ceil(n * min) up to, not including,
    ceil(n * max), at least one; a cell counts by its upper left corner. The published code does not clamp these
    numbers, so a box that begins a cell or more left of or above the crop becomes a slice with a negative start:
    usually no cell is positive, or cells at the opposite side are. The released weights were trained so.
    """
    # In float64, as published: in float32 the product may step over a whole number.
    edges = (n * box_convert(boxes_xywh.double(), "xywh", "xyxy")).ceil()
    start, stop = edges.split(2, dim=1)
    stop = stop + (stop == start)
    # As in numpy's slices, a negative number counts from the far side.
    start, stop = ((end + n * (end < 0)).clamp(0, n) for end in (start, stop))
    return cells_between(start, stop, n)


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

    terms = ("classification", "giou", "l1")

    def __call__(self, prediction: MLPPrediction, search_box: Tensor, count: Tensor | None = None) -> ObjectiveResult:
        logits, target = prediction.logits.float(), search_box.float()
        positive = cells_on_target(target, math.isqrt(logits.shape[1]))
        positives = positive.sum().clamp(min=1)
        weight = logits.new_tensor([1.0, self.config.background])
        classes = functional.cross_entropy(logits.flatten(0, 1), (~positive).long().flatten(), weight=weight)
        boxes, owner = prediction.boxes.float()[positive], positive.nonzero()[:, 0]
        predicted, true = box_convert(boxes, "cxcywh", "xyxy"), box_convert(target, "xywh", "xyxy")[owner]
        overlap, giou = iou_and_giou(predicted, true)
        terms = {
            "classification": classes,
            "giou": (1 - giou).sum() / positives,
            "l1": (boxes - xywh_to_cxcywh(target)[owner]).abs().sum() / positives,
        }
        hits = (logits.argmax(dim=-1) == 0) & positive
        monitors = {"iou": overlap.detach().sum() / positives, "accuracy": hits.sum() / positives}
        return self.result(terms, monitors)


HEAD = Head("mlp", MLPPrediction, MLPHead, MLPObjectiveConfig, MLPObjective)
