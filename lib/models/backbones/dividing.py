"""GRM's transformer: all blocks but the first divide the search tokens into those that meet the template and those kept
apart."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from lib.models.backbones.vit import Attention, Block, JointViT, ViTConfig, initialise
from lib.models.layers.division import (
    DivisionConfig,
    DivisionPredictor,
    choose_interacts,
    draw_interacts,
    target_representation,
)
from lib.models.layers.relation import exact_attention, published_attention


class DividingAttention(Attention):
    """Self-attention over all tokens; a block that divides asks first which search tokens meet the template."""

    def __init__(self, config: ViTConfig, division: DivisionConfig, divides: bool) -> None:
        super().__init__(config)
        self.division = division
        self.divides = divides and division.relation != "one_stream"
        if divides and division.relation == "adaptive":
            self.divide_predict = DivisionPredictor(config.width, division.hidden)

    def forward(self, tokens: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Normed tokens ``[B, N, C]`` -> attended ones, decisions ``[B, Nx]``, log-probabilities ``[B, Nx, 2]``."""
        q, k, v = self.split(tokens)
        interacts, log_probs = self.divide(tokens, template_mask) if self.divides else (None, None)
        if interacts is None:
            attended = F.scaled_dot_product_attention(q, k, v)
        else:
            softmax = self.division.train_softmax if self.training else self.division.softmax
            attend = published_attention if softmax == "published" else exact_attention
            attended = attend(q, k, v, interacts)
        return self.join(attended), interacts, log_probs

    def divide(self, tokens: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Decisions and log-probabilities of this block; all tokens stay apart, unasked, in a two-stream network."""
        template, search = tokens.split([template_mask.shape[1], tokens.shape[1] - template_mask.shape[1]], dim=1)
        if self.division.relation == "two_stream":
            return search.new_zeros(search.shape[:2], dtype=torch.float32), None
        target = target_representation(template, template_mask, self.division.target)
        log_probs = self.divide_predict(search, target)
        return (draw_interacts(log_probs) if self.training else choose_interacts(log_probs, self.division)), log_probs


class DividingBlock(Block):
    """A transformer block that also says what its attention decided."""

    def forward(self, tokens: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Tokens ``[B, N, C]`` -> tokens, and decisions and log-probabilities as the attention gives them."""
        attended, interacts, log_probs = self.attn(self.norm1(tokens), template_mask)
        return self.add_mlp(tokens + self.drop_path(attended)), interacts, log_probs


class DividingViT(JointViT):
    """``JointViT`` with GRM's division."""

    def __init__(self, config: ViTConfig, division: DivisionConfig, template_grid: int, search_grid: int) -> None:
        super().__init__(config, template_grid, search_grid)
        self.blocks = nn.ModuleList(
            DividingBlock(config, index, DividingAttention(config, division, divides=index > 0))
            for index in range(config.depth)
        )
        self.apply(initialise)
        self.apply(_initialise_predictor)

    def forward(self, template: Tensor, template_mask: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Template tokens ``[B, Nz, C]``, mask of the target's box ``[B, Nz]`` and search crop ``[B, 3, Hx, Wx]`` ->

        normed tokens ``[B, Nz + Nx, C]``, decisions ``[B, blocks, Nx]`` and log-probabilities ``[B, blocks, Nx, 2]``
        of the blocks that divide (blocks is 0 where none does, or, for the probabilities, where none is asked).
        """
        tokens = self.embed(template, search)
        search_tokens = tokens.shape[1] - template.shape[1]
        decisions, log_probs = [], []
        for block in self.blocks:
            tokens, block_decisions, block_log_probs = block(tokens, template_mask)
            decisions += [block_decisions] if block_decisions is not None else []
            log_probs += [block_log_probs] if block_log_probs is not None else []
        empty = partial(tokens.new_zeros, dtype=torch.float32)
        return (
            self.norm(tokens),
            torch.stack(decisions, dim=1) if decisions else empty((tokens.shape[0], 0, search_tokens)),
            torch.stack(log_probs, dim=1) if log_probs else empty((tokens.shape[0], 0, search_tokens, 2)),
        )


def _initialise_predictor(module: nn.Module) -> None:
    """GRM's predictors start from the published truncated normal 0.02."""
    if isinstance(module, DivisionPredictor):
        for layer in module:
            if isinstance(layer, nn.Linear):
                trunc_normal_(layer.weight, std=0.02)
