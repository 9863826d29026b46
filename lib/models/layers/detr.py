"""Parts of DETR's transformer: sine positions (STARK, SimTrack, TransT), post-norm encoder and decoder layers, and the
decoder (STARK, SimTrack, TransT(ori)).

Layers are PyTorch's, whose names are the published ones, with positions: they are added to queries and keys in every
layer, never to values. ``need_weights=False`` keeps PyTorch from forming the attention weights.
"""

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0


def sine_positions(side: int, width: int) -> Tensor:
    """Positions ``[1, side * side, width]``, row-major, of the cells of a square grid.

    Rows and columns are counted from 1 and scaled so that the last is 2 pi. The first half of the channels encodes the
    row, the second the column, sine and cosine in turn.
    Source: ltr/models/neck/position_encoding.py of TransT, for an image without padding.
    """
    frequencies = TEMPERATURE ** (2 * (torch.arange(width // 2) // 2) / (width // 2))
    steps = torch.arange(1, side + 1, dtype=torch.float32)
    angles = (steps / (steps[-1] + 1e-6) * 2 * math.pi)[:, None] / frequencies
    waves = torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)
    rows, columns = waves[:, None].expand(-1, side, -1), waves.expand(side, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)[None]


class EncoderLayer(nn.TransformerEncoderLayer):
    """Self-attention and a perceptron with ReLU, each added, then normed; ``dropout`` also of attention weights.

    Source: lib/models/stark/transformer.py of STARK, ``TransformerEncoderLayer.forward_post``.
    """

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__(width, heads, ffn, dropout, batch_first=True)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """``tokens`` ``[B, N, C]`` -> tokens; ``positions`` ``[B or 1, N, C]``."""
        keys = tokens + positions
        attended, _ = self.self_attn(keys, keys, tokens, need_weights=False)
        tokens = self.norm1(tokens + self.dropout(attended))
        return self.norm2(tokens + _perceive(self, tokens))


class DecoderLayer(nn.TransformerDecoderLayer):
    """Self-attention of the queries, cross-attention to the memory and a perceptron with ReLU, each added, then normed.

    Source: lib/models/stark/transformer.py of STARK, ``TransformerDecoderLayer.forward_post``.
    """

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__(width, heads, ffn, dropout, batch_first=True)

    def forward(self, queries: Tensor, query_positions: Tensor, memory: Tensor, memory_positions: Tensor) -> Tensor:
        """``queries`` ``[B, M, C]``, which attend to ``memory`` ``[B, N, C]`` -> queries; positions ``[B or 1, M, C]``
        and ``[B or 1, N, C]``."""
        own_keys = queries + query_positions
        attended, _ = self.self_attn(own_keys, own_keys, queries, need_weights=False)
        queries = self.norm1(queries + self.dropout(attended))
        keys = memory + memory_positions
        crossed, _ = self.multihead_attn(queries + query_positions, keys, memory, need_weights=False)
        queries = self.norm2(queries + self.dropout(crossed))
        return self.norm3(queries + _perceive(self, queries))


class Decoder(nn.Module):
    """A stack of ``DecoderLayer`` and a norm."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, ffn, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, query_positions: Tensor, memory: Tensor, memory_positions: Tensor) -> Tensor:
        """As ``DecoderLayer``."""
        for layer in self.layers:
            queries = layer(queries, query_positions, memory, memory_positions)
        return self.norm(queries)


def initialize_matrices(module: nn.Module) -> None:
    """Xavier's rule for every matrix, as published; the joint projection of an attention counts as one matrix."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


def _perceive(layer: EncoderLayer | DecoderLayer, tokens: Tensor) -> Tensor:
    return layer.dropout(layer.linear2(layer.dropout(layer.linear1(tokens).relu())))
