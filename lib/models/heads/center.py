"""The center head: a score, a size and an offset for every cell of the search grid."""

from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from lib.geometry.grids import center_heatmap
from lib.models.heads.base import Head, Objective, ObjectiveConfig, ObjectiveResult
from lib.models.heads.convolutions import add_branch, run_branch
from lib.models.heads.terms import box_terms, focal_loss

# Keeps the focal loss finite. 1 - 1e-4 would be 1.0 in bfloat16, so these maps are always float32.
SCORE_MARGIN = 1e-4


class CenterPrediction(NamedTuple):
    """A ``Prediction`` of a center head on an F x F grid, N = F * F in row-major order.

    ``score_map`` ``[B, 1, F, F]`` in (0, 1); ``size_map`` ``[B, 2, F, F]``: w, h in fractions; ``offset_map``
    ``[B, 2, F, F]``: x, y in cells.
    """

    boxes: Tensor
    scores: Tensor
    score_map: Tensor
    size_map: Tensor
    offset_map: Tensor
    extras: dict[str, Tensor]


class CenterHead(nn.Module):
    """Three branches of 3x3 convolutions over search features (OSTrack's head, which GRM uses); published names.

    Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int, grid: int) -> None:
        super().__init__()
        self.candidates = grid**2
        for branch, outputs in (("ctr", 1), ("size", 2), ("offset", 2)):
            add_branch(self, branch, width, channels, outputs)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        line = torch.arange(grid, dtype=torch.float32)
        self.register_buffer("cells", torch.stack(torch.meshgrid(line, line, indexing="xy")), persistent=False)

    def forward(self, features: Tensor) -> CenterPrediction:
        """``features`` ``[B, C, F, F]``."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            score = run_branch(self, "ctr", features).sigmoid().clamp(SCORE_MARGIN, 1 - SCORE_MARGIN)
            size = run_branch(self, "size", features).sigmoid().clamp(SCORE_MARGIN, 1 - SCORE_MARGIN)
            offset = run_branch(self, "offset", features)
        boxes = decode_boxes(size, offset, self.cells)
        return CenterPrediction(boxes, score.flatten(1), score, size, offset, extras={})


def decode_boxes(size: Tensor, offset: Tensor, cells: Tensor) -> Tensor:
    """The box of every cell, ``[B, F * F, 4]`` cxcywh in fractions of the crop, row-major, from the two maps.

    The box of cell (x, y) is ((x + offset_x) / F, (y + offset_y) / F, w, h). ``cells`` ``[2, F, F]``: x and y.
    """
    centers = (offset + cells) / size.shape[-1]
    return torch.cat([centers, size], dim=1).flatten(2).transpose(1, 2)


class CenterObjectiveConfig(ObjectiveConfig):
    """Adds ``focal``, the weight of the score map's term (OSTrack, GRM)."""

    focal: NonNegativeFloat = 1.0


class CenterObjective(Objective):
    """Loss of a ``CenterPrediction``, as GRM and OSTrack publish it (lib/train/actors), in float32.

    The predicted box is the one at the argmax of the raw score map, without a window. The heat map is made from the
    true box; GIoU and L1 compare with the true box clamped to the crop. Means and the number of positives are over the
    batch. Monitors: ``iou``, mean over samples, and ``inverted``, the number of inverted boxes. These have a GIoU here
    (see ``giou_loss``); the published code drops the term for the whole batch.
    """

    terms = ("giou", "l1", "focal")

    def __call__(
        self, prediction: CenterPrediction, search_box: Tensor, count: Tensor | None = None
    ) -> ObjectiveResult:
        score_map = prediction.score_map
        best = score_map.flatten(1).argmax(dim=1)
        picked = prediction.boxes.take_along_dim(best[:, None, None], dim=1).squeeze(1)
        terms, monitors = box_terms(picked, search_box)
        terms["focal"] = focal_loss(score_map.squeeze(1), center_heatmap(search_box, score_map.shape[-1]))
        return self.result(terms, monitors)


HEAD = Head("center", CenterPrediction, CenterHead, CenterObjectiveConfig, CenterObjective)
