"""Values of a network's search tokens as pictures: one painter for decisions, scores and attention."""

import math
from collections import abc

import cv2
import numpy as np

from lib.visualization.boxes import outline
from lib.visualization.sheet import FONT, MARGIN, Panel, resized, tile

WHITENING = 0.8  # share of white over a token that is not chosen
HEAT = 0.6  # share of the color scale over the gray crop
LEAST_MAP_SIDE = 192
SIDE = 256  # of the panels of a strip
WHITE = (255, 255, 255)
LINE = 22  # pixels of a strip's lines of text

Color = tuple[int, int, int]


def draw_token_map(search: np.ndarray, values: np.ndarray, stages: abc.Sequence[str], meaning: str) -> np.ndarray:
    """The search crop, then a panel for each stage as ``token_panels`` makes it, whole tokens wide."""
    grid = math.isqrt(values.shape[1])
    side = -(-max(LEAST_MAP_SIDE, len(search)) // grid) * grid
    crop = Panel("search crop", resized(search, side, side))
    return tile([crop, *token_panels(search, values, stages, meaning, side)])


def token_panels(
    search: np.ndarray, values: np.ndarray, stages: abc.Sequence[str], meaning: str, side: int
) -> list[Panel]:
    """A panel for each stage over the search crop (uint8 RGB ``[S, S, 3]``), ``side`` pixels a side.

    ``values`` ``[stages, Nx]`` lie on a square grid in row-major order. bool: chosen tokens stay as they are, the
    others are whitened, and the title has the share of chosen ones and their ``meaning``. float: a color scale from the
    stage's least to its largest value, which the title states; the token of the largest value is framed.
    """
    tokens = values.shape[1]
    grid = math.isqrt(tokens)
    assert grid * grid == tokens, f"{tokens} tokens are no square grid"
    crop = resized(search, side, side)
    panels = []
    for stage, row in zip(stages, values, strict=True):
        cells = row.reshape(grid, grid)
        if values.dtype == bool:
            panels.append(Panel(f"{stage}: {row.mean():.0%} {meaning}", _whitened(crop, cells)))
        else:
            panels.append(Panel(f"{stage}: {meaning} {row.min():.2g} to {row.max():.2g}", _heated(crop, cells)))
    return panels


def draw_strip(heading: str, panels: abc.Sequence[Panel]) -> np.ndarray:
    """A frame's panels of one size in rows under its ``heading``, on white."""
    sheet = tile(panels)
    head = np.full((LINE, sheet.shape[1], 3), 255, np.uint8)
    cv2.putText(head, heading, (4, LINE - 6), FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([head, sheet])


def draw_legend(width: int, colors: abc.Mapping[str, Color]) -> np.ndarray:
    """A line of that width: the boxes' ``colors`` by their labels, and the color scale."""
    line = np.full((LINE, width, 3), 255, np.uint8)
    left = MARGIN
    scale = np.linspace(0, 255, 96).astype(np.uint8)[None]
    swatches = {label: np.full((1, 14, 3), color, np.uint8) for label, color in colors.items()}
    swatches["least to largest value of a panel; white frame: largest; pale: not chosen"] = _colored(scale)
    for label, swatch in swatches.items():
        end = left + swatch.shape[1]
        line[4:-4, left:end] = swatch
        cv2.putText(line, label, (end + 5, LINE - 7), FONT, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        left = end + 5 + cv2.getTextSize(label, FONT, 0.45, 1)[0][0] + 18
    return line


def fit_frame(image: np.ndarray, boxes: abc.Iterable[tuple[np.ndarray, Color]], side: int) -> np.ndarray:
    """An image with its boxes (xywh in pixels) and their colors, whole on a white square of that side."""
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    small = resized(image, width, height)
    for box, color in boxes:
        outline(small, np.asarray(box) * scale, color, 2)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = small
    return square


def _spread(cells: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)


def _colored(values: np.ndarray) -> np.ndarray:
    return cv2.applyColorMap(values, cv2.COLORMAP_VIRIDIS)[..., ::-1]


def _whitened(crop: np.ndarray, cells: np.ndarray) -> np.ndarray:
    others = _spread((~cells).astype(np.uint8), len(crop)).astype(bool)
    panel = crop.copy()
    panel[others] = np.round(crop[others] * (1 - WHITENING) + 255 * WHITENING)
    return panel


def _heated(crop: np.ndarray, cells: np.ndarray) -> np.ndarray:
    side, grid = len(crop), len(cells)
    span = cells.max() - cells.min()
    share = (cells - cells.min()) / span if span > 0 else np.zeros_like(cells)
    colors = _colored(_spread((255 * share).astype(np.uint8), side))
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None]
    panel = np.round((1 - HEAT) * gray + HEAT * colors).astype(np.uint8)
    row, column = divmod(int(cells.argmax()), grid)
    first, last = ((round(x * side / grid), round(y * side / grid)) for x, y in ((column, row), (column + 1, row + 1)))
    cv2.rectangle(panel, first, (last[0] - 1, last[1] - 1), WHITE, 1)
    return panel
