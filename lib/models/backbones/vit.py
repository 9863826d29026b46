"""Parts of vision transformers, and the ViT of GRM and OSTrack: template and search tokens in one sequence, without a
class token."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from timm.layers import DropPath, Mlp, PatchEmbed, QuickGELU, build_sincos2d_pos_embed, resample_abs_pos_embed
from torch import Tensor, nn

from lib.models.base import Backbone, BackboneConfig
from lib.runtime.checkpoint import CheckpointError

# Temperature of the initial sine and cosine positions. At MAE's 10000, cells of such small grids are nearly equal.
POSITION_TEMPERATURE = 20.0
# Class token and four registers.
MOST_PREFIX_TOKENS = 5


class ViTConfig(BackboneConfig):
    """Sizes of the transformer. ViT-B is 768 / 12 / 12, ViT-L 1024 / 24 / 16, with patches of 16 pixels (32, 14).

    * ``style``: "timm" (MAE, DeiT, DINOv2, ...): exact GELU, LayerNorm eps 1e-6; "clip": QuickGELU, eps 1e-5, a
      LayerNorm before the first block, and no bias in the patch projection.
    * ``drop_path`` grows linearly from 0 in the first block to this in the last.
    """

    style: Literal["timm", "clip"] = "timm"
    width: int = Field(default=768, ge=4, multiple_of=4)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)
    patch: int = Field(default=16, ge=1)
    mlp_ratio: float = Field(default=4.0, gt=0)
    drop_path: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @property
    def stride(self) -> int:
        """Stride of the grid: the side of a patch."""
        return self.patch

    def build(self, template_size: int, search_size: int) -> Backbone:
        return JointViT(self, template_size // self.patch, search_size // self.patch)

    def norm(self) -> nn.LayerNorm:
        """A LayerNorm over the tokens' width with the style's eps."""
        return nn.LayerNorm(self.width, eps=1e-6 if self.style == "timm" else 1e-5)

    def patch_embed(self) -> PatchEmbed:
        """A linear projection of each patch of an image: ``[B, 3, H, W]`` -> ``[B, N, C]``, row-major."""
        return PatchEmbed(None, self.patch, 3, self.width, bias=self.style == "timm")


class Attention(nn.Module):
    """Multi-head self-attention in timm's layout (one projection to q, k and v)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``[B, heads, N, D]`` of normed tokens ``[B, N, C]``."""
        batch, count, _ = tokens.shape
        q, k, v = self.qkv(tokens).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return q, k, v

    def join(self, attended: Tensor) -> Tensor:
        """The output projection of ``[B, heads, N, D]``: ``[B, N, C]``."""
        return self.proj(attended.transpose(1, 2).flatten(2))

    def forward(self, tokens: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Self-attention of tokens ``[B, N, C]``; ``allowed``: bool mask ``[N, N]`` by query and key, None for all."""
        return self.join(F.scaled_dot_product_attention(*self.split(tokens), attn_mask=allowed))


class Block(nn.Module):
    """Pre-norm transformer block in timm's layout, number ``index`` of ``config.depth``."""

    def __init__(self, config: ViTConfig, index: int) -> None:
        super().__init__()
        rate = config.drop_path * index / max(config.depth - 1, 1)
        self.norm1 = config.norm()
        self.attn = Attention(config)
        self.norm2 = config.norm()
        activation = nn.GELU if config.style == "timm" else QuickGELU
        self.mlp = Mlp(config.width, int(config.width * config.mlp_ratio), act_layer=activation)
        self.drop_path = DropPath(rate) if rate > 0 else nn.Identity()

    def add_mlp(self, tokens: Tensor) -> Tensor:
        """The block's second half: tokens ``[B, N, C]`` plus their MLP."""
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def forward(self, tokens: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Tokens ``[B, N, C]`` -> tokens; ``allowed``: see ``Attention``."""
        return self.add_mlp(tokens + self.drop_path(self.attn(self.norm1(tokens), allowed)))


class JointViT(Backbone):
    """ViT whose tokens are the template's, then the search region's, without a class token.

    Parameter names are OSTrack's and GRM's. ``template_grid`` and ``search_grid`` are sides in patches. A family with
    its own ``blocks`` runs them itself.
    """

    def __init__(
        self, config: ViTConfig, template_grid: int, search_grid: int, blocks: Iterable[nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.width = config.width
        self.patch_embed = config.patch_embed()
        # The template lies beside the search region, so that no two tokens start at the same position.
        sides = [search_grid + template_grid, max(search_grid, template_grid)]
        positions = build_sincos2d_pos_embed(sides, config.width, POSITION_TEMPERATURE).unflatten(0, sides)
        self.pos_embed_z = nn.Parameter(positions[search_grid:, :template_grid].flatten(0, 1)[None].clone())
        self.pos_embed_x = nn.Parameter(positions[:search_grid, :search_grid].flatten(0, 1)[None].clone())
        # A module also without a norm: forward() then has one path.
        self.norm_pre = config.norm() if config.style == "clip" else nn.Identity()
        self.norm = config.norm()
        self.blocks = nn.ModuleList(blocks or (Block(config, index) for index in range(config.depth)))
        self.apply(initialize)

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """Template tokens ``[B, Nz, C]`` and search crop ``[B, 3, Hx, Wx]`` -> normed tokens ``[B, Nz + Nx, C]``."""
        tokens = self.embed(template, search)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def from_image_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The part of an image ViT's weights that this backbone takes, from timm's names to its own.

        The position table loses its class and distillation tokens and is resized bicubically to both grids, as in the
        published code (Little-Podi/GRM lib/models/grm/base_backbone.py).
        """
        taken, table = super().from_image_weights(weights), image_positions(weights["pos_embed"])
        for name, own in (("pos_embed_z", self.pos_embed_z), ("pos_embed_x", self.pos_embed_x)):
            taken[name] = resize_positions(table, math.isqrt(own.shape[1]))
        return taken

    def embed_template(self, template: Tensor) -> Tensor:
        """``[B, 3, Hz, Wz]`` -> tokens ``[B, Nz, C]``, row-major, with positions."""
        return self.patch_embed(template) + self.pos_embed_z

    def embed(self, template: Tensor, search: Tensor) -> Tensor:
        """Template tokens ``[B, Nz, C]`` and search crop ``[B, 3, Hx, Wx]`` -> tokens ``[B, Nz + Nx, C]``."""
        return self.norm_pre(torch.cat([template, self.patch_embed(search) + self.pos_embed_x], dim=1))


def image_positions(table: Tensor) -> Tensor:
    """A position table ``[1, P + n * n, C]`` without its P first tokens (class, distillation): ``[1, n * n, C]``.

    Raises ``CheckpointError`` for the table of an image that is no square, as networks for persons or sound have it.
    """
    others = table.shape[1] - math.isqrt(table.shape[1]) ** 2
    if others > MOST_PREFIX_TOKENS:
        raise CheckpointError(f"its position table has {table.shape[1]} rows, which are those of no square image")
    return table[:, others:]


def resize_positions(table: Tensor, grid: int, mode: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """A square position table ``[1, n * n, C]`` for a square of ``grid`` cells: ``[1, grid * grid, C]``, row-major."""
    return resample_abs_pos_embed(table, [grid, grid], num_prefix_tokens=0, interpolation=mode, antialias=False)


def initialize(module: nn.Module) -> None:
    """Initializes a transformer without pretrained weights; for ``nn.Module.apply``.

    Linear layers and the patch projection take MAE's Xavier rule. Keys start equal to queries (Trockman & Kolter,
    "Mimetic Initialization of Self-Attention Layers", 2023): tokens attend to similar tokens from the first step, and a
    small network learns to match in hundreds of steps.
    """
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):
        query, key, _ = module.qkv.weight.data.chunk(3)
        key.copy_(query)
