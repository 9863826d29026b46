"""The foveal window lies where the paper's appendix puts it, and its positions are those of its patches."""

import pytest
import torch

from lib.models.simtrack import foveal_positions, foveal_window

# Template, patch and window in pixels, and where the window begins: B/32 shifted by 16 pixels, B/16 and L/14 centered.
PUBLISHED = {"B/32": (128, 32, 64, 48), "B/16": (112, 16, 64, 24), "L/14": (84, 14, 42, 21)}
OTHERS = {"one patch": (64, 16, 16, 24), "largest": (64, 16, 48, 8), "even": (96, 16, 32, 40)}


def places(size: int) -> torch.Tensor:
    """An image ``[1, 3, size, size]`` that shows each pixel's x and y, and 0."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])[None].float()


@pytest.mark.parametrize(("template", "patch", "window", "start"), (PUBLISHED | OTHERS).values())
def test_the_window_begins_in_the_middle_of_a_patch(template, patch, window, start):
    shown = foveal_window(places(template), patch, window // patch)
    assert shown.shape == (1, 3, window, window)
    assert shown[0, :2, 0, 0].tolist() == [start, start]
    assert shown[0, :2, -1, -1].tolist() == [start + window - 1] * 2
    assert start % patch == patch // 2


@pytest.mark.parametrize(("template", "patch", "window", "start"), (PUBLISHED | OTHERS).values())
def test_positions_are_those_of_the_patches_centers(template, patch, window, start):
    """Taken from a table that holds each patch's center in pixels, the foveal ones are the foveal patches' centers."""
    grid, cells = template // patch, window // patch

    def centers(first: int, count: int) -> torch.Tensor:
        line = first + (torch.arange(count) + 0.5) * patch
        y, x = torch.meshgrid(line, line, indexing="ij")
        return torch.stack([x, y], dim=-1).flatten(0, 1)[None]

    torch.testing.assert_close(foveal_positions(centers(0, grid), cells), centers(start, cells))


def test_a_position_is_the_mean_of_two_patches_on_the_diagonal_from_upper_left():
    table = torch.randn(2, 49, 3, generator=torch.Generator().manual_seed(0))
    grid = table.unflatten(1, (7, 7))
    found = foveal_positions(table, 4).unflatten(1, (4, 4))
    for row, column in ((0, 0), (1, 3), (3, 2)):
        expected = (grid[:, row + 1, column + 1] + grid[:, row + 2, column + 2]) / 2
        torch.testing.assert_close(found[:, row, column], expected)
