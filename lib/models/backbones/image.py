"""A vision transformer with the class token and position table of its image training, for SimTrack's serial and
STARK-SV's Siamese backbone."""

import math
from collections.abc import Mapping

import torch
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn

from lib.models.backbones.vit import (
    POSITION_TEMPERATURE,
    Block,
    ViTConfig,
    image_positions,
    initialize,
    resize_positions,
)
from lib.models.base import Backbone

# Side in pixels of the images that CLIP, MAE, DeiT, MoCo v3 and SLIP were trained on.
IMAGE_SIZE = 224


class ImageViT(Backbone):
    """Layers and position table under timm's names; subclasses have the forward pass.

    The table keeps its image size and is resized to the crops in every pass (bilinear), as in SimTrack's published
    code. ``norm`` is for every token; CLIP itself norms only the class token.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.patch, self.width = config.patch, config.width
        self.patch_embed = config.patch_embed()
        image_grid = IMAGE_SIZE // config.patch
        positions = build_sincos2d_pos_embed([image_grid, image_grid], config.width, POSITION_TEMPERATURE)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.cat([torch.zeros(1, config.width), positions])[None])
        # A module also without a norm: forward() then has one path.
        self.norm_pre = config.norm() if config.style == "clip" else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.depth))
        self.norm = config.norm()
        self.apply(initialize)

    def embed(self, images: Tensor) -> Tensor:
        """Square crops ``[B, 3, H, H]`` -> class token and patches with their positions, ``[B, 1 + N, C]``."""
        patches = self.patch_embed(images) + self.image_positions(images.shape[-1] // self.patch)
        class_token = (self.cls_token + self.pos_embed[:, :1]).expand(images.shape[0], -1, -1)
        return torch.cat([class_token, patches], dim=1)

    def image_positions(self, grid: int) -> Tensor:
        """The patches' part of the position table for a square of ``grid`` cells: ``[1, grid * grid, C]``."""
        return resize_positions(self.pos_embed[:, 1:], grid, mode="bilinear")

    def from_image_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The part of an image ViT's weights, in timm's names, that this backbone takes: all but a classifier, and the
        first ``depth`` blocks (Sim-B/16* omits the last four). A position table of another size is resized, and only
        the class token's row stays before it."""
        taken = super().from_image_weights(weights)
        table, grid = weights["pos_embed"], math.isqrt(self.pos_embed.shape[1] - 1)
        taken["pos_embed"] = torch.cat([table[:, :1], resize_positions(image_positions(table), grid, "bilinear")], 1)
        return taken
