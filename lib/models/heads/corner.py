"""The corner head: the box's two corners, each the expectation of a map over the cells of the search grid."""

import torch
from torch import Tensor, nn

from lib.geometry.boxes import xyxy_to_cxcywh
from lib.models.base import CornerPrediction
from lib.models.heads.branches import add_branch, run_branch


class CornerHead(nn.Module):
    """Two branches of 3x3 convolutions over search features (STARK's head, which SimTrack uses); published names.

    A cell's position is its upper left corner, as published, so a corner lies in [0, 1 - 1 / F].
    Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int, grid: int) -> None:
        super().__init__()
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
        boxes = xyxy_to_cxcywh(torch.cat(corners, dim=-1))[:, None]
        return CornerPrediction(boxes, (peaks[0] * peaks[1])[:, None], *maps, extras={})

    def _expect(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[B, F, F]`` -> expected x, y ``[B, 2]`` in fractions of the crop, and its peak ``[B]``."""
        probabilities = logits.flatten(1).softmax(dim=1)
        # One product with all positions: row and column sums times a line are wrong in batches of OpenVINO 2026.4.
        return probabilities @ self.positions, probabilities.amax(dim=1)
