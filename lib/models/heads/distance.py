"""The distance head: from each cell's own vector, a score and the distances of its center to the box's four sides."""

import torch
from torch import Tensor, nn

from lib.geometry.boxes import xyxy_to_cxcywh
from lib.models.base import DistancePrediction
from lib.models.heads.mlp import Perceptron


class DistanceHead(nn.Module):
    """Two perceptrons with two hidden layers, one for the score and one for the box (LoRAT's head); published names.

    A distance is a sigmoid: at most one crop, so a box may reach outside. Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int, grid: int) -> None:
        super().__init__()
        self.cls_mlp, self.reg_mlp = _Perceptron(width, channels, 1), _Perceptron(width, channels, 4)
        self.grid = grid
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
        return DistancePrediction(xyxy_to_cxcywh(corners), logits.sigmoid(), logits, corners, extras={})


class _Perceptron(Perceptron):
    activation = staticmethod(nn.functional.gelu)

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__(width, hidden, outputs)
        for layer in self.layers:
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
