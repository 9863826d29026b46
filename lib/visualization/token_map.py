"""A network's decisions over its search tokens as a picture: the tokens it chose, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Sequence as Many

import cv2
import numpy as np

from lib.visualization.sheet import tile

WHITENING = 0.8  # share of white over a token that is not chosen
LEAST_SIDE = 192
COLUMNS = 6


def draw_token_map(search: np.ndarray, chosen: np.ndarray, stages: Many[str], meaning: str) -> np.ndarray:
    """The search crop, then a panel for each stage: chosen tokens as they are, the others whitened.

    ``search`` is uint8 RGB ``[S, S, 3]``; ``chosen`` is bool ``[stages, Nx]``, Nx being a square grid in row-major
    order. A title gives the stage's name, the share of chosen tokens and their ``meaning``.
    """
    tokens = chosen.shape[1]
    grid = math.isqrt(tokens)
    assert grid * grid == tokens, f"{tokens} tokens are no square grid"
    side = -(-max(LEAST_SIDE, len(search)) // grid) * grid
    crop = cv2.resize(search, (side, side), interpolation=cv2.INTER_LINEAR)
    panels, titles = [crop], ["search crop"]
    for stage, kept in zip(stages, chosen, strict=True):
        others = ~kept.reshape(grid, grid).repeat(side // grid, axis=0).repeat(side // grid, axis=1)
        panel = crop.copy()
        panel[others] = np.round(crop[others] * (1 - WHITENING) + 255 * WHITENING)
        panels.append(panel)
        titles.append(f"{stage}: {kept.mean():.0%} {meaning}")
    return tile(panels, min(COLUMNS, len(panels)), titles)
