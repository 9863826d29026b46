"""The center head: a score, a size and an offset for every cell of the search grid."""

import torch
from torch import Tensor, nn

from lib.models.base import CenterPrediction
from lib.models.heads.branches import add_branch, run_branch

# Keeps the focal loss finite. 1 - 1e-4 would be 1.0 in bfloat16, so these maps are always float32.
SCORE_MARGIN = 1e-4


class CenterHead(nn.Module):
    """Three branches of 3x3 convolutions over search features (OSTrack's head, which GRM uses); published names.

    Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int, grid: int) -> None:
        super().__init__()
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
