"""Eq. 7 of SimTrack: shares of patches by counting pixels, and the layers written out for a single patch."""

import torch
from torch.nn import functional as F

from lib.models.simtrack import TemplatePosition, covered_share

GRID = 7


def test_the_share_of_a_cell_is_the_share_of_its_pixels():
    """Boxes on a raster of 16 pixels a cell, some of which stick out of the crop; each pixel is in the box or not."""
    pixels = GRID * 16
    boxes = torch.tensor([[28, 35, 56, 42], [-9, 44, 130, 24], [100, -20, 60, 200], [3, 5, 2, 1], [16, 32, 16, 48]])
    painted = torch.zeros(len(boxes), pixels, pixels)
    for canvas, (x, y, w, h) in zip(painted, boxes.tolist(), strict=True):
        canvas[max(y, 0) : y + h, max(x, 0) : x + w] = 1
    counted = F.avg_pool2d(painted[:, None], 16)[:, 0]
    torch.testing.assert_close(covered_share(boxes / pixels, GRID), counted)


def test_a_patch_is_described_by_its_share_and_its_centre_in_this_order():
    torch.manual_seed(0)
    layers, box = TemplatePosition(8), torch.tensor([[0.1, 0.3, 0.5, 0.6]])
    row, column = 2, 5
    share = covered_share(box, GRID)[0, row, column]
    described = torch.stack([(share + 1) / 2, torch.tensor((column + 0.5) / GRID), torch.tensor((row + 0.5) / GRID)])
    hidden = F.relu(F.linear(described, layers[0].weight, layers[0].bias))
    expected = 2 * torch.sigmoid(F.linear(hidden, layers[2].weight, layers[2].bias)) - 1
    torch.testing.assert_close(layers(box, GRID)[0, row * GRID + column], expected)


def test_only_the_patches_whose_share_changes_move():
    torch.manual_seed(0)
    layers = TemplatePosition(8)
    box, higher = torch.tensor([[0.1, 0.2, 0.5, 0.3]]), torch.tensor([[0.1, 0.2, 0.5, 0.5]])
    changed = (covered_share(box, GRID) != covered_share(higher, GRID)).flatten()
    assert 0 < changed.sum() < GRID**2
    moved = (layers(box, GRID) != layers(higher, GRID)).any(dim=-1)[0]
    assert torch.equal(moved, changed)
