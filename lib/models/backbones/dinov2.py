"""DINOv2's vision transformer (Oquab et al., TMLR 2024) for template and search region in one sequence: LayerScale,
SwiGLU in the largest size, and one position table for both crops."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import Field
from timm.layers import DropPath, GluMlp, LayerScale, Mlp, build_sincos2d_pos_embed
from torch import Tensor, nn

from lib.models.backbones.vit import (
    POSITION_TEMPERATURE,
    Attention,
    ViTConfig,
    image_positions,
    initialize,
    resize_positions,
)
from lib.models.base import Backbone
from lib.models.layers.lora import plain_as_lora
from lib.models.weights.renaming import DINOV2, replaced

# Above this rate, drop path selects a part of the batch, see ``DINOv2Block``.
LARGEST_RATE_BY_SAMPLE = 0.1


class DINOv2Config(ViTConfig):
    """Sizes of the transformer: ViT-S 384 / 12 / 6, B 768 / 12 / 12, L 1024 / 24 / 16, g 1536 / 40 / 24 with SwiGLU.

    * ``ffn``: "mlp", two layers around a GELU; "swiglu", the product of two halves, one through SiLU, each with two
      thirds of the width of "mlp", rounded up to a multiple of 8.
    * ``drop_path``: equal in every block; above 0.1 by parts of the batch, as in DINOv2, see ``DINOv2Block``.
    """

    style: Literal["timm"] = "timm"
    patch: int = Field(default=14, ge=1)
    ffn: Literal["mlp", "swiglu"] = "mlp"
    drop_path: float = Field(default=0.0, ge=0, lt=1)

    def build(self, template_size: int, search_size: int) -> "DINOv2":
        return DINOv2(self, template_size // self.patch, search_size // self.patch)


class DINOv2Block(nn.Module):
    """Pre-norm transformer block whose two branches end in LayerScale, in timm's layout.

    At a drop path rate p up to 0.1, each sample drops its branch with that probability. Above 0.1, a branch is computed
    only for n = max(floor(B * (1 - p)), 1) of B samples, drawn in each call, and multiplied by B / n
    (facebookresearch/dinov2, dinov2/layers/block.py).
    """

    def __init__(self, config: DINOv2Config) -> None:
        super().__init__()
        self.norm1, self.attn = config.norm(), Attention(config)
        self.ls1 = LayerScale(config.width, init_values=1.0)
        self.norm2, hidden = config.norm(), int(config.width * config.mlp_ratio)
        if config.ffn == "mlp":
            self.mlp = Mlp(config.width, hidden)
        else:
            half = math.ceil(hidden * 2 // 3 / 8) * 8
            self.mlp = GluMlp(config.width, 2 * half, act_layer=nn.SiLU, gate_last=False)
        self.ls2 = LayerScale(config.width, init_values=1.0)
        self.rate = config.drop_path
        self.drop_path = DropPath(self.rate) if self.rate > 0 else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``[B, N, C]`` -> tokens."""
        tokens = self._add(tokens, lambda part: self.ls1(self.attn(self.norm1(part))))
        return self._add(tokens, lambda part: self.ls2(self.mlp(self.norm2(part))))

    def _add(self, tokens: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        if not self.training or self.rate <= LARGEST_RATE_BY_SAMPLE:
            return tokens + self.drop_path(branch(tokens))
        batch = tokens.shape[0]
        count = max(int(batch * (1 - self.rate)), 1)
        rows = torch.randperm(batch, device=tokens.device)[:count]
        return tokens.index_add(0, rows, branch(tokens[rows]).to(tokens.dtype), alpha=batch / count)


class DINOv2(Backbone):
    """Layers under timm's names, without class, mask and register tokens.

    ``pos_embed`` ``[1, Nx, C]`` has a position for each cell of the search grid. The template takes those of its upper
    left corner, ``template_grid`` cells a side.
    """

    def __init__(self, config: DINOv2Config, template_grid: int, search_grid: int) -> None:
        super().__init__()
        self.width, self.template_grid, self.search_grid = config.width, template_grid, search_grid
        self.patch_embed = config.patch_embed()
        positions = build_sincos2d_pos_embed([search_grid, search_grid], config.width, POSITION_TEMPERATURE)
        self.pos_embed = nn.Parameter(positions[None])
        self.blocks = nn.ModuleList(DINOv2Block(config) for _ in range(config.depth))
        self.norm = config.norm()
        self.apply(initialize)

    def embed_template(self, template: Tensor) -> Tensor:
        """``[B, 3, Hz, Hz]`` -> tokens ``[B, Nz, C]``, row-major, with positions."""
        table = self.pos_embed.unflatten(1, (self.search_grid, self.search_grid))
        return self.patch_embed(template) + table[:, : self.template_grid, : self.template_grid].flatten(1, 2)

    def embed_search(self, search: Tensor) -> Tensor:
        """``[B, 3, Hx, Hx]`` -> tokens ``[B, Nx, C]``, row-major, with positions."""
        return self.patch_embed(search) + self.pos_embed

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """Embedded tokens ``[B, Nz, C]`` and ``[B, Nx, C]`` -> normed tokens of the search region ``[B, Nx, C]``."""
        tokens = torch.cat([template, search], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, template.shape[1] :])

    def from_image_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The part of DINOv2's weights, in timm's names or DINOv2's, that this backbone takes, with LoRA or without.

        The position table loses its class token and is resized to the search grid as in LoRAT: bicubic, without
        antialiasing and without the offset of 0.1 in DINOv2's own code.
        """
        taken = super().from_image_weights(plain_as_lora(replaced(weights, DINOV2), frozenset(self.state_dict())))
        taken["pos_embed"] = resize_positions(image_positions(weights["pos_embed"]), self.search_grid)
        return taken
