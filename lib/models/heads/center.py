"""The centre head: a score, a size and an offset for every cell of the search grid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from lib.config.schema import Section

# Keeps the focal loss finite; 1 - 1e-4 is 1.0 in bfloat16, so these maps are float32 always.
SCORE_MARGIN = 1e-4


class CenterHeadConfig(Section):
    """``channels``: width of the first of the four 3x3 layers of each branch; each further one has half."""

    channels: int = Field(default=256, ge=8, multiple_of=8)


class CenterMaps(NamedTuple):
    """What the head says of each cell: ``score`` ``[B, 1, F, F]`` in (0, 1), ``size`` ``[B, 2, F, F]`` w, h in
    fractions of the crop, ``offset`` ``[B, 2, F, F]`` x, y in cells."""

    score: Tensor
    size: Tensor
    offset: Tensor


class CenterHead(nn.Module):
    """Three branches of 3x3 convolutions over search features (OSTrack's head, which GRM uses); published names.

    Runs in float32 also under autocast.
    """

    def __init__(self, width: int, config: CenterHeadConfig) -> None:
        super().__init__()
        channels = [width] + [config.channels // 2**level for level in range(4)]
        for branch, outputs in (("ctr", 1), ("size", 2), ("offset", 2)):
            for level in range(4):
                setattr(self, f"conv{level + 1}_{branch}", _convolution(channels[level], channels[level + 1]))
            setattr(self, f"conv5_{branch}", nn.Conv2d(channels[4], outputs, 1))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, features: Tensor) -> CenterMaps:
        """``features`` ``[B, C, F, F]``."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            return CenterMaps(
                self._branch(features, "ctr").sigmoid().clamp(SCORE_MARGIN, 1 - SCORE_MARGIN),
                self._branch(features, "size").sigmoid().clamp(SCORE_MARGIN, 1 - SCORE_MARGIN),
                self._branch(features, "offset"),
            )

    def _branch(self, features: Tensor, branch: str) -> Tensor:
        for level in range(1, 6):
            features = getattr(self, f"conv{level}_{branch}")(features)
        return features


def decode_boxes(maps: CenterMaps) -> Tensor:
    """The box of every cell, ``[B, F * F, 4]`` cxcywh in fractions of the crop, row-major.

    Cell (x, y) says ((x + offset_x) / F, (y + offset_y) / F, w, h).
    """
    grid = maps.score.shape[-1]
    cells = torch.arange(grid, device=maps.offset.device, dtype=maps.offset.dtype)
    rows, columns = torch.meshgrid(cells, cells, indexing="ij")
    centres = (maps.offset + torch.stack([columns, rows])) / grid
    return torch.cat([centres, maps.size], dim=1).flatten(2).transpose(1, 2)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
