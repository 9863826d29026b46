"""SimTrack's position embedding of the exemplar: it says where a patch lies and how much of it the target covers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ExemplarPosition(nn.Sequential):
    """Eq. 7: two fully connected layers on (R, x, y) of each patch; published names.

    The paper names (i, j, R) and nothing else; this is the repository's form (lib/models/stark/clipvit16.py): R is
    moved from [0, 1] to [1/2, 1], x and y are the patch's centre in fractions of the crop, C / 2 hidden units with
    ReLU, and the result is 2 * sigmoid - 1. Layers start from PyTorch's defaults, as published.
    """

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(3, width // 2), nn.ReLU(), nn.Linear(width // 2, width))

    def forward(self, box: Tensor, grid: int) -> Tensor:
        """Box ``[B, 4]`` xywh in fractions of the template -> positions ``[B, grid * grid, C]``, row-major, in
        (-1, 1)."""
        centres = (torch.arange(grid, device=box.device) + 0.5) / grid
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        ratio = covered_share(box, grid)
        described = torch.stack([(ratio + 1) / 2, columns.expand_as(ratio), rows.expand_as(ratio)], dim=-1)
        return 2 * super().forward(described.flatten(1, 2)).sigmoid() - 1


def covered_share(box: Tensor, grid: int) -> Tensor:
    """R of Eq. 7: which share of each cell the box covers, ``[B, grid, grid]`` by row and column, for boxes ``[B, 4]``
    xywh in fractions of the crop; what sticks out of the crop covers nothing."""
    low, high = (box[:, :2] * grid)[..., None], ((box[:, :2] + box[:, 2:]) * grid)[..., None]
    first = torch.arange(grid, device=box.device)
    along = (torch.minimum(high, first + 1) - torch.maximum(low, first)).clamp(min=0)
    return along[:, 1, :, None] * along[:, 0, None, :]
