"""Lite: a light tracker. Features of both crops from one small image network, box-aware correlation, then a head.

The cosine of pretrained features matches from the first step; a fusion network of attention must learn to match first.
After 6,400 pairs the correlation had a mean IoU of 0.50 in training, two layers of TransT's fusion 0.08.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from lib.geometry.grids import cell_coverage
from lib.models.backbones.timm_features import TimmConfig
from lib.models.base import Family, FamilyConfig, TrackingModel
from lib.models.heads.registry import HeadConfig, HeadPrediction, build_head
from lib.models.layers.folding import fold_norms

# Weight of a template cell outside the target's box; one inside has 1.
OUTSIDE = 0.2
# Side of the depth-wise kernels, and width of a perceptron's hidden layer over that of its input.
KERNEL, EXPANSION = 5, 2


class LiteConfig(FamilyConfig):
    """The network. ``width``: channels between backbone and head; ``blocks``: residual blocks after the correlation."""

    name: Literal["lite"]
    backbone: TimmConfig
    width: int = Field(default=128, ge=8, multiple_of=8)
    blocks: PositiveInt = 2
    head: HeadConfig = HeadConfig(kind="center", channels=64)


class Correlation(nn.Module):
    """Search features and their similarities to the target, mixed to ``width`` channels.

    Each search cell has: its cosine with each template cell, those outside the box weighted by ``OUTSIDE``; its cosine
    with the target's features, the mean of the template's over the box; its own features; and their product with the
    target's features.
    """

    def __init__(self, width: int, template_grid: int) -> None:
        super().__init__()
        self.template_grid = template_grid
        self.mix = nn.Sequential(
            nn.Conv2d(template_grid**2 + 1 + 2 * width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )

    def remember(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """The state of a template with features ``[B, C, Fz, Fz]`` and a box (xywh, fractions of the crop): the vectors
        that search cells are compared with, ``[B, Fz * Fz + 1, C]``, and the target's features ``[B, C]``."""
        cells = template.flatten(2).transpose(1, 2)
        inside = cell_coverage(box, self.template_grid).to(cells.dtype)
        share = inside / inside.sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        target = (share[:, None] @ cells).squeeze(1)
        weighted = F.normalize(cells, dim=2) * (OUTSIDE + (1 - OUTSIDE) * inside)[:, :, None]
        return torch.cat([weighted, F.normalize(target, dim=1)[:, None]], dim=1), target

    def forward(self, state: tuple[Tensor, Tensor], search: Tensor) -> Tensor:
        """The state and search features ``[B, C, Fx, Fx]`` -> features ``[B, C, Fx, Fx]``."""
        compared, target = state
        cosines = (compared @ F.normalize(search, dim=1).flatten(2)).unflatten(2, search.shape[2:])
        return self.mix(torch.cat([cosines, search, search * target[:, :, None, None]], dim=1))


class MixingBlock(nn.Sequential):
    """A depth-wise convolution and a perceptron over channels, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(width, width, KERNEL, padding=KERNEL // 2, groups=width, bias=False),
            nn.Conv2d(width, EXPANSION * width, 1, bias=False),
            nn.BatchNorm2d(EXPANSION * width),
            nn.ReLU(),
            nn.Conv2d(EXPANSION * width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """``[B, C, F, F]`` -> ``[B, C, F, F]``."""
        return features + super().forward(features)


class Lite(TrackingModel):
    """``Correlation.remember`` gives the state of a target: the backbone sees the template once a video.

    Template and search features have a BatchNorm each after their common projection, since their statistics differ.
    ``extras`` is empty.
    """

    def __init__(self, config: LiteConfig, template_size: int, search_size: int) -> None:
        super().__init__(config, template_size, search_size)
        self.sizes = template_size, search_size
        self.backbone = config.backbone.build(template_size, search_size)
        self.projection = nn.Conv2d(self.backbone.width, config.width, 1, bias=False)
        self.template_norm, self.search_norm = nn.BatchNorm2d(config.width), nn.BatchNorm2d(config.width)
        self.correlation = Correlation(config.width, self.template_grid)
        self.mixing = nn.Sequential(*(MixingBlock(config.width) for _ in range(config.blocks)))
        self.box_head = build_head(config.head, config.width, self.search_grid)
        # Depth-wise convolutions are faster in this format, in training and on every device.
        self.to(memory_format=torch.channels_last)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        return self.correlation.remember(self.template_norm(self.projection(self.backbone(template))), box)

    def locate(self, state: tuple[Tensor, Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        features = self.search_norm(self.projection(self.backbone(search)))
        return self.box_head(self.mixing(self.correlation(state, features)))

    def fold(self) -> None:
        """Folds BatchNorm into the convolutions, except the two layers after the projection."""
        parameter = next(self.parameters())
        template, search = (parameter.new_zeros(1, 3, size, size) for size in self.sizes)
        fold_norms(self, template, parameter.new_tensor([[0.25, 0.25, 0.5, 0.5]]), search)


FAMILY = Family(config=LiteConfig, network=Lite)
