"""SimTrack's transformer: exemplar and search region as one sequence through an image ViT, class token and all."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lib.models.backbones.image import ImageViT
from lib.models.backbones.vit import ViTConfig
from lib.models.layers.exemplar_position import ExemplarPosition
from lib.models.layers.foveal import foveal_positions, foveal_window


class SerialViTConfig(ViTConfig):
    """The transformer of Sim-B/16 by default.

    * ``foveal``: the side in pixels of the foveal window (Section 3.3), or 0 for none. 64; 42 with patches of 14.
    * ``exemplar_position``: "eq7", from the place of a patch and how much of it the target covers; "image", the
      pretrained positions of an image, resized to the exemplar's grid.
    * ``interact_every``: 1, exemplar and search tokens meet in every block; 2, in blocks 2, 4, 6 ..., 4, in 4, 8, 12
      ..., counted from 1. In the others each attends to its own side.
    * ``one_way``: exemplar tokens never attend to search tokens (Table 7's models; 0.2 LaSOT AUC in the ViT).
    """

    kind: Literal["vit"] = "vit"
    style: Literal["timm", "clip"] = "clip"
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    foveal: int = Field(default=64, ge=0)
    exemplar_position: Literal["eq7", "image"] = "eq7"
    interact_every: int = Field(default=1, ge=1)
    one_way: bool = False

    @model_validator(mode="after")
    def _sides_meet(self) -> SerialViTConfig:
        if self.foveal % self.patch:
            raise ValueError(f"foveal: {self.foveal} is not a multiple of patch {self.patch}; 0 is no foveal window")
        if self.interact_every > self.depth:
            raise ValueError(
                f"interact_every: {self.interact_every} with depth {self.depth}: exemplar and search would never meet"
            )
        return self

    def cell(self) -> tuple[int, str]:
        """Pixels of a crop along one cell of the grid, and the key that says so."""
        return self.patch, "model.backbone.patch"

    def build(self, template_size: int, search_size: int) -> SerialViT:
        """The network for crops of these sizes."""
        return SerialViT(self, template_size, search_size)


class SerialViT(ImageViT):
    """``ImageViT`` whose sequence is exemplar patches, foveal patches, class token and search patches.

    The published order differs; attention without a mask does not see it. ``pos_fc`` is Eq. 7. ``width``: channels of
    the tokens that ``forward`` gives.
    """

    def __init__(self, config: SerialViTConfig, template_size: int, search_size: int) -> None:
        super().__init__(config)
        self.width, self.foveal_cells = config.width, config.foveal // config.patch
        self.template_grid, self.search_grid = template_size // config.patch, search_size // config.patch
        assert self.foveal_cells < self.template_grid, (config.foveal, template_size)
        self.pos_fc = ExemplarPosition(config.width) if config.exemplar_position == "eq7" else None
        exemplar = self.template_grid**2 + self.foveal_cells**2
        joint, apart = allowed_attention(exemplar, 1 + self.search_grid**2, config.one_way)
        self.register_buffer("joint", joint, persistent=False)
        self.register_buffer("apart", apart, persistent=False)
        self.interacts = [number % config.interact_every == 0 for number in range(1, config.depth + 1)]

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        """Template ``[B, 3, Hz, Wz]`` and box ``[B, 4]`` xywh in fractions of it -> its tokens with their positions,
        foveal ones last, ``[B, Nz + Nf, C]``: all that does not depend on the search region, from the first block on
        everything does."""
        if self.pos_fc is None:
            positions = self.image_positions(self.template_grid)
        else:
            positions = self.pos_fc(box, self.template_grid)
        tokens = self.patch_embed(template) + positions
        if self.foveal_cells:
            middle = self.patch_embed(foveal_window(template, self.patch, self.foveal_cells))
            tokens = torch.cat([tokens, middle + foveal_positions(positions, self.foveal_cells)], dim=1)
        return (tokens,)

    def forward(self, state: tuple[Tensor], search: Tensor) -> tuple[Tensor, Tensor]:
        """What ``encode_template`` gave and the search crop ``[B, 3, Hx, Wx]`` -> normed tokens of the search region
        ``[B, Nx, C]`` and of the exemplar ``[B, Nz, C]``, row-major; class and foveal tokens end here."""
        (exemplar,) = state
        tokens = self.norm_pre(torch.cat([exemplar, self.embed(search)], dim=1))
        for block, interacts in zip(self.blocks, self.interacts, strict=True):
            tokens = block(tokens, self.joint if interacts else self.apart)
        tokens = self.norm(tokens)
        return tokens[:, -(self.search_grid**2) :], tokens[:, : self.template_grid**2]


def allowed_attention(exemplar: int, search: int, one_way: bool) -> tuple[Tensor | None, Tensor]:
    """Who may attend to whom among ``exemplar`` tokens and then ``search`` tokens (the class token is one of these),
    bool ``[N, N]`` by query and key: in blocks where the two sides meet (None for all to all), and in those where they
    do not. ``one_way``: where they meet, only search tokens look across."""
    of_search = torch.arange(exemplar + search) >= exemplar
    apart = of_search[:, None] == of_search
    return (apart | of_search[:, None]) if one_way else None, apart
