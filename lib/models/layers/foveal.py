"""SimTrack's foveal window: the middle of the exemplar once more, in patches half a patch beside the others."""

from __future__ import annotations

from torch import Tensor


def first_cell(grid: int, cells: int) -> int:
    """The foveal window of ``cells`` patches a side begins in the middle of this patch, along both axes, of a template
    of ``grid`` patches a side.

    Where ``grid - cells`` is odd (ViT-B/16: 7 and 4, L/14: 6 and 3) the window is centred. Where it is even (B/32: 4
    and 2) a centred one would show the template's own patches again, so it lies half a patch further right and down,
    which is the paper's appendix: the image is moved up and left first. The repository's condition for that
    (lib/models/stark/clipvit16.py) is never true for B/32, whose foveal tokens there tell nothing new.
    """
    return (grid - cells) // 2


def foveal_window(template: Tensor, patch: int, cells: int) -> Tensor:
    """The window's pixels ``[B, 3, cells * patch, cells * patch]`` of the template ``[B, 3, H, H]``."""
    start = first_cell(template.shape[-1] // patch, cells) * patch + patch // 2
    return template[:, :, start : start + cells * patch, start : start + cells * patch]


def foveal_positions(positions: Tensor, cells: int) -> Tensor:
    """Positions ``[B, cells * cells, C]`` of the foveal patches from the template's ``[B, n * n, C]``.

    A foveal patch lies where four of the template meet; it takes the mean of two of them, the upper left and the lower
    right, as the repository does. The paper (Section 3.3) would ask Eq. 7 once more.
    """
    grid = round(positions.shape[1] ** 0.5)
    first = first_cell(grid, cells)
    table = positions.unflatten(1, (grid, grid))
    upper, lower = (table[:, i : i + cells, i : i + cells] for i in (first, first + 1))
    return ((upper + lower) / 2).flatten(1, 2)
