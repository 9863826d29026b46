"""The corner head: the box's two corners, each the expectation of a map over the cells of the search grid."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from lib.models.heads.base import Head, Objective, ObjectiveConfig, ObjectiveResult
from lib.models.heads.convolutions import add_branch, run_branch
from lib.models.heads.terms import box_terms


class CornerPrediction(NamedTuple):
    """A ``Prediction`` of a corner head, N = 1: the expectation of two maps over the cells of an F x F grid.

    ``top_left`` and ``bottom_right`` ``[B, F, F]`` are the maps before the softmax. The score is the product of the two
    corners' largest probabilities. It is not trained, and no published tracker reports it.
    """

    boxes: Tensor
    scores: Tensor
    top_left: Tensor
    bottom_right: Tensor
    extras: dict[str, Tensor]


class CornerHead(nn.Module):
    """Two branches of 3x3 convolutions over search features (STARK's head, which SimTrack uses); published names.

    A cell's position is its upper left corner, as published, so a corner lies in [0, 1 - 1 / F].
    Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int, grid: int) -> None:
        super().__init__()
        self.candidates = 1
        for branch in ("tl", "br"):
            add_branch(self, branch, width, channels, 1)
        line = torch.arange(grid, dtype=torch.float32) / grid
        positions = torch.stack([line.repeat(grid), line.repeat_interleave(grid)], dim=1)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, features: Tensor) -> CornerPrediction:
        """``features`` ``[B, C, F, F]``."""
        with torch.autocast(features.device.type, enabled=False):
            maps = [run_branch(self, branch, features.float()).squeeze(1) for branch in ("tl", "br")]
            corners, peaks = zip(*(self._expect(logits) for logits in maps), strict=True)
        boxes = box_convert(torch.cat(corners, dim=-1), "xyxy", "cxcywh")[:, None]
        return CornerPrediction(boxes, (peaks[0] * peaks[1])[:, None], *maps, extras={})

    def _expect(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[B, F, F]`` -> expected x, y ``[B, 2]`` in fractions of the crop, and its peak ``[B]``."""
        probabilities = logits.flatten(1).softmax(dim=1)
        # One product with all positions: row and column sums times a line are wrong in batches of OpenVINO 2026.4.
        return probabilities @ self.positions, probabilities.amax(dim=1)


class CornerObjective(Objective):
    """Loss of a ``CornerPrediction``, as STARK and SimTrack publish it (lib/train/actors), in float32.

    The true box is clamped to the crop. Means are over the batch. A corner head can predict inverted boxes: the
    published code then silently drops the GIoU term of the whole batch; here it stays (see ``giou_loss``). Monitors:
    ``iou``, mean over samples, and ``inverted``, the number of such boxes.
    """

    terms = ("giou", "l1")

    def __call__(
        self, prediction: CornerPrediction, search_box: Tensor, count: Tensor | None = None
    ) -> ObjectiveResult:
        return self.result(*box_terms(prediction.boxes.squeeze(1), search_box))


HEAD = Head("corner", CornerPrediction, CornerHead, ObjectiveConfig, CornerObjective)
