"""Sine positions against the recorded ones, against the formula, and with padding."""

import math

import numpy as np
import torch
from reference_weights import REFERENCE

from lib.models.layers.positions import full_grid, sine_positions


def test_positions_equal_the_recorded_ones_with_padding_in_one_sample():
    golden = np.load(REFERENCE / "stark_s_head.golden.npz")
    template, search = torch.from_numpy(golden["mask_tokens"]).split([49, 196], dim=1)
    assert [mask.any(dim=1).tolist() for mask in (template, search)] == [[False, True]] * 2
    positions = [sine_positions(template.unflatten(1, (7, 7)), 256), sine_positions(search.unflatten(1, (14, 14)), 256)]
    np.testing.assert_allclose(torch.cat(positions, dim=1)[..., ::16].numpy(), golden["pos_slice"], atol=1e-6)


def test_a_cells_position_is_sines_and_cosines_of_its_row_and_then_of_its_column():
    side, width = 5, 24
    positions = full_grid(side, width, torch.device("cpu"))
    assert positions.shape == (1, side * side, width)
    for row, column in ((0, 0), (2, 4), (4, 1)):
        expected = []
        for index in (row, column):
            angle = 2 * math.pi * (index + 1) / side
            for channel in range(width // 2):
                wave = math.cos if channel % 2 else math.sin
                expected.append(wave(angle / 10000 ** (2 * (channel // 2) / (width // 2))))
        torch.testing.assert_close(positions[0, row * side + column], torch.tensor(expected), atol=1e-5, rtol=0)


def test_cells_beside_padding_stand_as_in_a_grid_without_it():
    padding = torch.zeros(2, 6, 8, dtype=torch.bool)
    padding[1, :2] = padding[1, :, 5:] = True
    positions = sine_positions(padding, 16).unflatten(1, (6, 8))
    shown = sine_positions(torch.zeros(1, 4, 5, dtype=torch.bool), 16).unflatten(1, (4, 5))
    torch.testing.assert_close(positions[1, 2:, :5], shown[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(positions[0], sine_positions(padding[:1], 16)[0].unflatten(0, (6, 8)))


def test_no_two_cells_of_a_grid_share_a_position():
    places = full_grid(16, 128, torch.device("cpu"))[0]
    assert (torch.cdist(places, places) + 10 * torch.eye(len(places))).min() > 0.5
