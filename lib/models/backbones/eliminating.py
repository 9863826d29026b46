"""OSTrack's transformer: all tokens attend to all, and some blocks may go on without search tokens of low rank."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.backbones.vit import Block, JointViT, ViTConfig, initialise
from lib.models.layers.elimination import (
    EliminationConfig,
    eliminate,
    present,
    rank_candidates,
    ranking_rows,
    restore,
)


class EliminatingBlock(Block):
    """A transformer block that drops search tokens between its attention and its MLP."""

    def forward(
        self, tokens: Tensor, places: Tensor, rows: Tensor, weights: Tensor, rate: float
    ) -> tuple[Tensor, Tensor]:
        """Tokens ``[B, Nz + n, C]``, the search tokens' places ``[B, n]`` and the keep rate -> tokens and places of
        what is left; see ``rank_candidates`` for ``rows`` and ``weights``."""
        q, k, v = self.attn.split(self.norm1(tokens))
        tokens = tokens + self.drop_path(self.attn.join(F.scaled_dot_product_attention(q, k, v)))
        search_tokens = places.shape[1]
        count = math.ceil(rate * search_tokens)
        if count < search_tokens:
            ranks = rank_candidates(q, k, rows, weights, tokens.shape[1] - search_tokens)
            tokens, places = eliminate(tokens, places, ranks, count)
        return self.add_mlp(tokens), places


class EliminatingViT(JointViT):
    """``JointViT`` with plain attention, and candidate elimination where the configuration has it."""

    def __init__(
        self, config: ViTConfig, elimination: EliminationConfig | None, template_grid: int, search_grid: int
    ) -> None:
        super().__init__(config, template_grid, search_grid)
        eliminating = elimination.blocks if elimination else ()
        self.blocks = nn.ModuleList(
            (EliminatingBlock if index in eliminating else Block)(config, index) for index in range(config.depth)
        )
        if elimination:
            self.register_buffer("rows", ranking_rows(elimination.template, template_grid), persistent=False)
        self.apply(initialise)

    def forward(self, template: Tensor, weights: Tensor, search: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """Template tokens ``[B, Nz, C]``, weights of those that rank ``[B, K]`` (not read where nothing eliminates),
        search crop ``[B, 3, Hx, Wx]`` and the keep rate ->

        normed tokens ``[B, Nz + Nx, C]``, where a removed one is zero, and which search tokens each eliminating block
        removed, bool ``[B, stages, Nx]``.
        """
        tokens = self.embed(template, search)
        template_tokens = template.shape[1]
        search_tokens = tokens.shape[1] - template_tokens
        places = torch.arange(search_tokens, device=tokens.device).expand(tokens.shape[0], -1)
        removed = []
        for block in self.blocks:
            if isinstance(block, EliminatingBlock):
                before = places
                tokens, places = block(tokens, before, self.rows, weights, rate)
                removed.append(present(before, search_tokens) & ~present(places, search_tokens))
            else:
                tokens = block(tokens)
        tokens = self.norm(tokens)
        if places.shape[1] < search_tokens:
            left = restore(tokens[:, template_tokens:], places, search_tokens)
            tokens = torch.cat([tokens[:, :template_tokens], left], dim=1)
        if not removed:
            return tokens, places.new_zeros((tokens.shape[0], 0, search_tokens), dtype=torch.bool)
        return tokens, torch.stack(removed, dim=1)
