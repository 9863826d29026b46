"""Sine and cosine positions on a grid, as in DETR (TransT, STARK)."""

import math

import torch
from torch import Tensor

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
