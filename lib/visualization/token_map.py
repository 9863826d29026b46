"""GRM's token division as a picture: what of the search crop meets the template, block by block."""

from __future__ import annotations

import math

import cv2
import numpy as np

from lib.visualization.sheet import tile

WHITENING = 0.8  # share of white over a token that stays apart
LEAST_SIDE = 192
COLUMNS = 6


def draw_division(search: np.ndarray, interacts: np.ndarray) -> np.ndarray:
    """The search crop, then a panel for each dividing block: tokens of kind A as they are, tokens of kind S whitened.

    ``search`` is uint8 RGB ``[S, S, 3]``; ``interacts`` ``[blocks, Nx]`` is 1 where a token is of kind A, Nx being a
    square grid in row-major order. Titles count blocks from 1; the second of GRM is the first that divides.
    """
    blocks, tokens = interacts.shape
    grid = math.isqrt(tokens)
    assert grid * grid == tokens, f"{tokens} tokens are no square grid"
    side = -(-max(LEAST_SIDE, len(search)) // grid) * grid
    crop = cv2.resize(search, (side, side), interpolation=cv2.INTER_LINEAR)
    panels, titles = [crop], ["search crop"]
    for number, kinds in enumerate(interacts > 0.5):
        apart = ~kinds.reshape(grid, grid).repeat(side // grid, axis=0).repeat(side // grid, axis=1)
        panel = crop.copy()
        panel[apart] = np.round(crop[apart] * (1 - WHITENING) + 255 * WHITENING)
        panels.append(panel)
        titles.append(f"block {number + 2}: {kinds.mean():.0%} meet the template")
    return tile(panels, min(COLUMNS, blocks + 1), titles)
