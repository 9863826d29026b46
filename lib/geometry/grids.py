"""Maps over an n x n grid of cells laid on a crop, index ``[row, column]``: Hann window, heat map, masks of a box
and coverage."""

import math

import torch
from torch import Tensor

LEAST_OVERLAP = 0.7
# Of a cell: a box must reach so far into one to touch it with its right or lower side.
TOUCH = 1e-4
# Of a cell: a box's side is taken to lie on a border that it misses by less, as fractions in float32 do.
ROUNDING = 1e-5


def hann_window(n: int) -> Tensor:
    """The window that favors the middle of a score map: float32 ``[n, n]``, above 0 at the border too."""
    steps = torch.arange(1, n + 1, dtype=torch.float32)
    line = 0.5 * (1 - torch.cos(2 * math.pi / (n + 1) * steps))
    return line[:, None] * line


def hann_window_to_zero(n: int) -> Tensor:
    """The window of SiamFC's line and TransT, which is 0 at the border: float32 ``[n, n]``."""
    line = torch.hann_window(n, periodic=False, dtype=torch.float64)
    return (line[:, None] * line).float()


def center_heatmap(boxes_xywh: Tensor, n: int) -> Tensor:
    """The score map a center head should give: float32 ``[B, n, n]``, for boxes ``[B, 4]`` in fractions of the crop.

    A Gaussian of deviation (2 * radius + 1) / 6, cut off ``radius`` cells from the cell the center rounds to (half to
    even), where it is exactly 1. A center that rounds off the grid leaves a map without a 1. Source: CenterNet's
    targets as GRM has them (lib/utils/heapmap_utils.py).
    """
    boxes = boxes_xywh.float() * n
    sizes = boxes[:, 2:]
    centers = (boxes[:, :2] + sizes / 2).round()[:, None]
    radius = _gaussian_radius(sizes)[:, None, None]
    distances = (torch.arange(n, device=boxes.device)[:, None] - centers).double()
    columns, rows = distances[:, None, :, 0], distances[:, :, None, 1]
    deviation = (2 * radius + 1) / 6
    heat = torch.exp(-(columns**2 + rows**2) / (2 * deviation**2))
    near = (columns.abs() <= radius) & (rows.abs() <= radius)
    return torch.where(near, heat, 0).float()


def _gaussian_radius(sizes: Tensor) -> Tensor:
    """How far boxes of w, h cells ``[B, 2]`` may move and still overlap by ``LEAST_OVERLAP``: whole float64 ``[B]``.

    CornerNet's three cases. Each root is divided by 2 where its equation asks for 2a: the well-known slip of that code,
    kept because every released weight was trained with it.
    """
    total, area, o = sizes.sum(dim=1), sizes.prod(dim=1), LEAST_OVERLAP
    shifted = (total + torch.sqrt(total**2 - 4 * area * (1 - o) / (1 + o))) / 2
    inner = (2 * total + torch.sqrt(4 * total**2 - 16 * (1 - o) * area)) / 2
    outer = (-2 * o * total + torch.sqrt(4 * o**2 * total**2 + 16 * o * (1 - o) * area)) / 2
    return torch.stack((shifted, inner, outer)).amin(dim=0).clamp(min=0).floor().double()


def cells_between(first: Tensor, end: Tensor, n: int) -> Tensor:
    """Which cells lie from ``first`` up to, but not at, ``end`` ``[B, 2]`` (x, y): bool ``[B, n * n]``, row-major."""
    cells = torch.arange(n, device=first.device)[:, None]
    inside = (cells >= first[:, None]) & (cells < end[:, None])
    return (inside[:, :, None, 1] & inside[:, None, :, 0]).flatten(1)


def template_mask(boxes_xywh: Tensor, n: int) -> Tensor:
    """Which cells of the template crop the target covers: bool ``[B, n * n]``, row-major, from fractions ``[B, 4]``.

    GRM's rule: rows int(y * n) up to, not including, int(y * n + h * n + 1), columns alike. Below 0, where int() and
    floor() differ, there are no cells.
    """
    boxes = boxes_xywh.float() * n
    first, end = boxes[:, :2].floor(), (boxes[:, :2] + boxes[:, 2:] + 1).floor()
    return cells_between(first, end, n)


def touched_cells(boxes_xywh: Tensor, n: int) -> Tensor:
    """Which cells a box touches, once clipped to the crop: bool ``[B, n * n]``, row-major, from fractions ``[B, 4]``.

    LoRAT's rule, for the template's target tokens and for positives: columns floor(x1) up to, not including,
    floor(x2 + 1 - 1e-4), in cells, rows alike. A side on a border does not touch the next cell.
    """
    boxes = boxes_xywh.double() * n
    first = (boxes[:, :2].clamp(0, n) + ROUNDING).floor()
    end = ((boxes[:, :2] + boxes[:, 2:]).clamp(0, n) + 1 - TOUCH).floor()
    return cells_between(first, end, n)


def cell_coverage(boxes_xywh: Tensor, n: int) -> Tensor:
    """The share of each cell that a box covers: float32 ``[B, n * n]`` in [0, 1], row-major, from fractions ``[B, 4]``.

    A box is clipped to the crop; one without area there covers nothing.
    """
    boxes = boxes_xywh.float() * n
    first, end = boxes[:, None, :2], (boxes[:, :2] + boxes[:, 2:])[:, None]
    cells = torch.arange(n, device=boxes.device)[:, None]
    covered = (torch.minimum(end, cells + 1) - torch.maximum(first, cells)).clamp(0, 1)
    return (covered[:, :, None, 1] * covered[:, None, :, 0]).flatten(1)
