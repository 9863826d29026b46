"""Attention of the target to the search region, for pictures and for OSTrack's ranking.

Networks call ``scaled_dot_product_attention``, which keeps no weights. Inside the block of ``recorded_attention``,
hooks compute the few rows that a picture shows; the network's outputs do not change.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.backbones.vit import Attention


@contextmanager
def recorded_attention(
    modules: Mapping[str, nn.Module], target: Tensor, search_tokens: int
) -> Iterator[dict[str, Tensor]]:
    """Yields a dict that each pass of the network inside the block fills: stage -> float32 ``[B, Nx]``.

    ``modules`` by stage: self-attentions (``Attention``) over a sequence that begins with the template's tokens and
    ends with the Nx search tokens, or ``nn.MultiheadAttention`` modules whose keys end with the search tokens.
    ``target`` ``[B, Nz]``: weights of the template's tokens, with sums of 1; a module with one query does not use them.
    A value is the softmax over all keys, averaged over the heads and, with these weights, over the template's tokens.
    """
    rows: dict[str, Tensor] = {}

    def record(stage: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, Attention):
            tokens, *mask = inputs
            q, k, _ = module.split(tokens)
            q, allowed = q[:, :, : target.shape[1]], mask[0] if mask else None
        else:
            q, k, allowed = *_project(module, *inputs[:2]), None
        weights = target if q.shape[2] == target.shape[1] else target.new_ones(len(target), 1)
        rows[stage] = attention_rows(q, k, weights, search_tokens, allowed)

    handles = [module.register_forward_pre_hook(partial(record, stage)) for stage, module in modules.items()]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def attention_rows(q: Tensor, k: Tensor, weights: Tensor, search_tokens: int, allowed: Tensor | None = None) -> Tensor:
    """Attention of the queries ``[B, heads, M, D]`` to the last ``search_tokens`` of the keys ``[B, heads, N, D]``:
    float32 ``[B, search_tokens]``, without gradient.

    The softmax is over all keys; its mean is over the heads and, by ``weights`` ``[B, M]``, over the queries.
    ``allowed`` bool ``[N, N]`` by query and key; its first M rows count. Runs in float32 also under autocast, since
    bfloat16 has too few values to rank.
    """
    with torch.autocast(q.device.type, enabled=False):
        logits = q.float() @ k.float().transpose(-2, -1) * q.shape[-1] ** -0.5
        if allowed is not None:
            logits = logits.masked_fill(~allowed[: q.shape[2]], float("-inf"))
        attention = logits.softmax(dim=-1).mean(dim=1)[..., -search_tokens:]
        return (weights[:, None] @ attention).squeeze(1)


def _project(module: nn.MultiheadAttention, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys ``[B, heads, tokens, D]`` as the module projects them."""
    weights, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    with torch.autocast(queries.device.type, enabled=False):
        q, k = (
            F.linear(tokens.float(), weight.float(), bias.float()).unflatten(2, (module.num_heads, -1)).transpose(1, 2)
            for tokens, weight, bias in zip((queries, keys), weights[:2], biases[:2], strict=True)
        )
    return q, k
