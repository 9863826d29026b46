"""Who attends to whom between template and search tokens, and attention under that rule.

With kinds T (template), S (search, kept apart) and A (search, meets both), token i may attend to token j iff
``kind_i == kind_j or A in (kind_i, kind_j)``: everything is allowed but T with S and S with T. Tokens stand template
first. The decisions are ``interacts`` ``[B, Nx]``, 1 for A and 0 for S.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Little-Podi/GRM lib/models/grm/vit.py, softmax_with_policy.
PUBLISHED_EPS = 1e-6


def relation_mask(interacts: Tensor, template_tokens: int) -> Tensor:
    """1 where attention is allowed, else 0: ``[B, N, N]`` of ``interacts``' type, N = template + search tokens.

    Differentiable in ``interacts``. The published code adds up products of the three one-hot columns; with S = 1 - A
    that sum is this expression, and the gradient of a straight-through softmax is the same too, because what the two
    differ by moves S and A together.
    """
    apart = F.pad(1 - interacts, (template_tokens, 0))
    template = torch.zeros_like(apart)
    template[:, :template_tokens] = 1
    across = template[:, :, None] * apart[:, None, :]
    return 1 - across - across.transpose(1, 2)


def exact_attention(q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
    """Attention over the allowed keys alone. ``q, k, v`` ``[B, heads, N, D]``, ``interacts`` 0 or 1. No gradient
    reaches ``interacts`` through the boolean mask, so this is for evaluation."""
    allowed = relation_mask(interacts, q.shape[2] - interacts.shape[1]).bool()
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed[:, None])


def published_attention(q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
    """Attention in the multiplicative form that GRM's weights were trained with; the gradient reaches ``interacts``.

    The weight of key j is ``(exp(a_j - max_a) * mask_j + eps / N) / (sum + eps)``, with the maximum over all keys,
    masked ones too, and in float32. So where every allowed key lies far below a masked one, eps takes part of the
    weight from it: with one allowed key eps is 2 % of the sum at a gap of 10 in the logits and more than half at 14.
    With GRM's 320 tokens and gaps up to 5 the form equals ``exact_attention`` within 1e-5.
    """
    tokens = q.shape[2]
    logits = (q @ k.transpose(-2, -1)).float() * q.shape[-1] ** -0.5
    with torch.autocast(q.device.type, enabled=False):
        mask = relation_mask(interacts.float(), tokens - interacts.shape[1])[:, None]
        weights = (logits - logits.amax(dim=-1, keepdim=True)).exp() * mask
        weights = (weights + PUBLISHED_EPS / tokens) / (weights.sum(dim=-1, keepdim=True) + PUBLISHED_EPS)
    return weights.to(v.dtype) @ v
