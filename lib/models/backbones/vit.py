"""The vision transformer over template and search tokens together, with GRM's division in all blocks but the first."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from timm.layers import DropPath, Mlp, PatchEmbed, build_sincos2d_pos_embed, trunc_normal_
from torch import Tensor, nn

from lib.config.schema import Section
from lib.models.layers.division import (
    DivisionConfig,
    DivisionPredictor,
    choose_interacts,
    draw_interacts,
    target_representation,
)
from lib.models.layers.relation import exact_attention, published_attention

# Of the sine and cosine positions a network starts from: at MAE's 10000 the cells of so small a grid are nearly alike.
POSITION_TEMPERATURE = 20.0


class ViTConfig(Section):
    """Sizes of the transformer. ViT-B is 768 / 12 / 12, ViT-L 1024 / 24 / 16, both with patches of 16 pixels.

    ``drop_path`` grows linearly from 0 in the first block to this in the last.
    """

    width: int = Field(default=768, ge=4, multiple_of=4)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)
    patch: int = Field(default=16, ge=1)
    mlp_ratio: float = Field(default=4.0, gt=0)
    drop_path: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ViTConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class Attention(nn.Module):
    """Self-attention over all tokens; a block that divides asks first which search tokens meet the template."""

    def __init__(self, config: ViTConfig, division: DivisionConfig, divides: bool) -> None:
        super().__init__()
        self.heads = config.heads
        self.division = division
        self.divides = divides and division.relation != "one_stream"
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        if divides and division.relation == "adaptive":
            self.divide_predict = DivisionPredictor(config.width, division.hidden)

    def forward(self, tokens: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Normed tokens ``[B, N, C]`` -> attended ones, decisions ``[B, Nx]``, log-probabilities ``[B, Nx, 2]``."""
        batch, count, width = tokens.shape
        q, k, v = self.qkv(tokens).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        interacts, log_probs = self.divide(tokens, template_mask) if self.divides else (None, None)
        if interacts is None:
            attended = F.scaled_dot_product_attention(q, k, v)
        elif self.training or self.division.softmax == "published":
            attended = published_attention(q, k, v, interacts)
        else:
            attended = exact_attention(q, k, v, interacts)
        return self.proj(attended.transpose(1, 2).reshape(batch, count, width)), interacts, log_probs

    def divide(self, tokens: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Decisions and log-probabilities of this block; all tokens stay apart, unasked, in a two-stream network."""
        template, search = tokens.split([template_mask.shape[1], tokens.shape[1] - template_mask.shape[1]], dim=1)
        if self.division.relation == "two_stream":
            return search.new_zeros(search.shape[:2], dtype=torch.float32), None
        target = target_representation(template, template_mask, self.division.target)
        log_probs = self.divide_predict(search, target)
        return (draw_interacts(log_probs) if self.training else choose_interacts(log_probs, self.division)), log_probs


class Block(nn.Module):
    """Pre-norm transformer block in timm's layout."""

    def __init__(self, config: ViTConfig, division: DivisionConfig, index: int) -> None:
        super().__init__()
        rate = config.drop_path * index / max(config.depth - 1, 1)
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config, division, divides=index > 0)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = Mlp(config.width, int(config.width * config.mlp_ratio))
        self.drop_path = DropPath(rate) if rate > 0 else nn.Identity()

    def forward(self, tokens: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Tokens ``[B, N, C]`` -> tokens, and what the attention decided."""
        attended, interacts, log_probs = self.attn(self.norm1(tokens), template_mask)
        tokens = tokens + self.drop_path(attended)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens))), interacts, log_probs


class DividingViT(nn.Module):
    """ViT whose tokens are the template's then the search region's, without a class token.

    Names of parameters are the published ones. ``template_grid`` and ``search_grid`` are the sides in patches.
    """

    def __init__(self, config: ViTConfig, division: DivisionConfig, template_grid: int, search_grid: int) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(
            img_size=None, patch_size=config.patch, embed_dim=config.width, strict_img_size=False
        )
        self.pos_embed_z = nn.Parameter(torch.zeros(1, template_grid**2, config.width))
        self.pos_embed_x = nn.Parameter(torch.zeros(1, search_grid**2, config.width))
        self.blocks = nn.ModuleList([Block(config, division, index) for index in range(config.depth)])
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.apply(_initialise)
        # The template stands beside the search region, so that no two tokens start at the same place.
        places = build_sincos2d_pos_embed(
            [search_grid + template_grid, search_grid], dim=config.width, temperature=POSITION_TEMPERATURE
        ).unflatten(0, (search_grid + template_grid, search_grid))
        self.pos_embed_x.data[0] = places[:search_grid].flatten(0, 1)
        self.pos_embed_z.data[0] = places[search_grid:, :template_grid].flatten(0, 1)

    def embed_template(self, template: Tensor) -> Tensor:
        """``[B, 3, Hz, Wz]`` -> tokens ``[B, Nz, C]``, row-major, with positions."""
        return self.patch_embed(template) + self.pos_embed_z

    def forward(self, template: Tensor, template_mask: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Template tokens ``[B, Nz, C]``, mask of the target's box ``[B, Nz]`` and search crop ``[B, 3, Hx, Wx]`` ->

        normed tokens ``[B, Nz + Nx, C]``, decisions ``[B, blocks, Nx]`` and log-probabilities ``[B, blocks, Nx, 2]``
        of the blocks that divide (blocks is 0 where none does, or, for the probabilities, where none is asked).
        """
        tokens = torch.cat([template, self.patch_embed(search) + self.pos_embed_x], dim=1)
        search_tokens = tokens.shape[1] - template.shape[1]
        decisions, log_probs = [], []
        for block in self.blocks:
            tokens, block_decisions, block_log_probs = block(tokens, template_mask)
            decisions += [block_decisions] if block_decisions is not None else []
            log_probs += [block_log_probs] if block_log_probs is not None else []
        empty = partial(tokens.new_zeros, dtype=torch.float32)
        return (
            self.norm(tokens),
            torch.stack(decisions, dim=1) if decisions else empty((len(tokens), 0, search_tokens)),
            torch.stack(log_probs, dim=1) if log_probs else empty((len(tokens), 0, search_tokens, 2)),
        )


def _initialise(module: nn.Module) -> None:
    """What a network without pretrained weights starts from.

    Linear layers and the patch projection take MAE's Xavier rule, GRM's predictors the published truncated normal 0.02.
    Keys start equal to queries (Trockman & Kolter, "Mimetic Initialization of Self-Attention Layers", 2023): tokens
    attend to what resembles them from the first step, and a small network learns to match in hundreds of steps.
    """
    if isinstance(module, DivisionPredictor):
        for layer in module:
            if isinstance(layer, nn.Linear):
                trunc_normal_(layer.weight, std=0.02)
    elif isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
        nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):
        query, key, _ = module.qkv.weight.data.chunk(3)
        key.copy_(query)
