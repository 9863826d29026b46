"""Parts of DETR's transformer: sine positions (STARK, SimTrack, TransT), post-norm encoder and decoder layers, and the
decoder (STARK, SimTrack, TransT(ori)).

Positions are added to queries and keys in every layer, never to values. Parameter names are the published ones.
"""

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0


def sine_positions(padding: Tensor, width: int) -> Tensor:
    """Positions ``[B, H * W, width]``, row-major, of the cells of a grid; ``padding`` bool ``[B, H, W]``, True outside
    the image.

    Rows and columns are counted from 1 over cells that are not padding, and scaled so that the last is 2 pi. The first
    half of the channels encodes the row, the second the column, sine and cosine in turn.
    Source: ltr/models/neck/position_encoding.py of TransT.
    """
    shown = (~padding).float()
    frequencies = TEMPERATURE ** (2 * (torch.arange(width // 2, device=padding.device) // 2) / (width // 2))
    halves = []
    for axis in (1, 2):
        count = shown.cumsum(axis)
        last = count.narrow(axis, count.shape[axis] - 1, 1)
        angles = (count / (last + 1e-6) * 2 * math.pi)[..., None] / frequencies
        halves.append(torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=-1).flatten(-2))
    return torch.cat(halves, dim=-1).flatten(1, 2)


def full_grid(side: int, width: int, device: torch.device) -> Tensor:
    """Positions ``[1, side * side, width]`` of a square grid without padding."""
    return sine_positions(torch.zeros(1, side, side, dtype=torch.bool, device=device), width)


class EncoderLayer(nn.Module):
    """Self-attention and a perceptron with ReLU, each added, then normed; ``dropout`` also of attention weights.

    Source: lib/models/stark/transformer.py of STARK, ``TransformerEncoderLayer.forward_post``.
    """

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.linear1 = nn.Linear(width, ffn)
        self.linear2 = nn.Linear(ffn, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, positions: Tensor, padding: Tensor | None = None) -> Tensor:
        """``tokens`` ``[B, N, C]`` -> tokens; ``positions`` ``[B or 1, N, C]``; ``padding`` bool ``[B, N]``, True for
        tokens that no token may attend to."""
        keys = tokens + positions
        tokens = self.norm1(tokens + self.dropout(_attend(self.self_attn, keys, keys, tokens, padding)))
        return self.norm2(tokens + _perceive(self, tokens))


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the memory and a perceptron with ReLU, each added, then normed.

    Source: lib/models/stark/transformer.py of STARK, ``TransformerDecoderLayer.forward_post``.
    """

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.linear1 = nn.Linear(width, ffn)
        self.linear2 = nn.Linear(ffn, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Tensor,
        query_positions: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        padding: Tensor | None = None,
    ) -> Tensor:
        """``queries`` ``[B, M, C]``, which attend to ``memory`` ``[B, N, C]`` -> queries; positions ``[B or 1, M, C]``
        and ``[B or 1, N, C]``; ``padding`` bool ``[B, N]``, True for memory that no query may attend to."""
        own_keys = queries + query_positions
        queries = self.norm1(queries + self.dropout(_attend(self.self_attn, own_keys, own_keys, queries, None)))
        keys = memory + memory_positions
        crossed = _attend(self.multihead_attn, queries + query_positions, keys, memory, padding)
        queries = self.norm2(queries + self.dropout(crossed))
        return self.norm3(queries + _perceive(self, queries))


class Decoder(nn.Module):
    """A stack of ``DecoderLayer`` and a norm."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, ffn, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        queries: Tensor,
        query_positions: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        padding: Tensor | None = None,
    ) -> Tensor:
        """As ``DecoderLayer``."""
        for layer in self.layers:
            queries = layer(queries, query_positions, memory, memory_positions, padding)
        return self.norm(queries)


def initialize_matrices(module: nn.Module) -> None:
    """Xavier's rule for every matrix, as published; the joint projection of an attention counts as one matrix."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


def _attend(
    attention: nn.MultiheadAttention, queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None
) -> Tensor:
    """The attention's output; PyTorch does not compute the weights."""
    return attention(queries, keys, values, key_padding_mask=padding, need_weights=False)[0]


def _perceive(layer: EncoderLayer | DecoderLayer, tokens: Tensor) -> Tensor:
    return layer.dropout(layer.linear2(layer.dropout(layer.linear1(tokens).relu())))
