"""The light family: its correlation against a loop, and sizes."""

import pytest
import torch
import torch.nn.functional as F
from families import fresh, inputs, tiny

from lib.experiment.build import build_model
from lib.experiment.config import load_experiment
from lib.geometry.grids import cell_coverage
from lib.models.lite import OUTSIDE, Correlation


def test_coverage_is_the_share_of_fine_cells_in_the_box():
    boxes = torch.tensor(
        [[0.25, 0.5, 0.25, 0.375], [-0.5, 0.125, 0.75, 0.5], [0.5, 0.5, 0.0, 0.2], [0.0, 0.0, 1.0, 1.0]]
    )
    fine = (torch.arange(64) + 0.5) / 64
    for box, found in zip(boxes, cell_coverage(boxes, 4), strict=True):
        columns = ((fine >= box[0]) & (fine < box[0] + box[2])).float()
        rows = ((fine >= box[1]) & (fine < box[1] + box[3])).float()
        expected = F.avg_pool2d((rows[:, None] * columns)[None], 16).flatten()
        torch.testing.assert_close(found, expected)


@torch.inference_mode()
def test_correlation_is_what_a_loop_over_cells_gives():
    torch.manual_seed(0)
    correlation = Correlation(width=8, template_grid=2)
    correlation.mix = torch.nn.Identity()
    template, search = torch.randn(3, 8, 2, 2), torch.randn(3, 8, 4, 4)
    box = torch.tensor([[0.0, 0.0, 0.5, 1.0]]).repeat(3, 1)  # the left half: cells 0 and 2
    maps = correlation(correlation.remember(template, box), search)
    assert maps.shape == (3, 4 + 1 + 8 + 8, 4, 4)
    target = template[:, :, :, 0].mean(dim=2)
    for row in range(4):
        for column in range(4):
            cell = search[:, :, row, column]
            for index, inside in enumerate([True, False, True, False]):
                cosine = F.cosine_similarity(cell, template[:, :, index // 2, index % 2])
                torch.testing.assert_close(maps[:, index, row, column], cosine * (1 if inside else OUTSIDE))
            torch.testing.assert_close(maps[:, 4, row, column], F.cosine_similarity(cell, target))
            torch.testing.assert_close(maps[:, 5:13, row, column], cell)
            torch.testing.assert_close(maps[:, 13:, row, column], cell * target)


@torch.inference_mode()
def test_the_box_matters_and_one_without_area_is_finite():
    experiment = tiny("lite")
    model = fresh(experiment)
    template, box, search = inputs(experiment, 2)
    usual, other = model(template, box, search), model(template, box * 0.5, search)
    assert not torch.allclose(usual.scores, other.scores)
    assert torch.isfinite(model(template, box * 0, search).boxes).all()


@pytest.mark.parametrize(("name", "grids"), [("lite", (8, 16)), ("lite_192", (6, 12))])
@torch.inference_mode()
def test_the_published_sizes(name, grids):
    experiment = load_experiment(name)
    model = build_model(experiment)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_200_000
    template, box, search = inputs(experiment, 1)
    state = model.encode_template(template, box)
    assert [tuple(part.shape) for part in state] == [(1, grids[0] ** 2 + 1, 128), (1, 128)]
    assert model.locate(state, search).score_map.shape[2:] == (grids[1], grids[1])


@torch.inference_mode()
def test_the_memory_format_changes_no_prediction():
    experiment = tiny("lite")
    model = fresh(experiment)
    expected = model(*inputs(experiment, 2))
    found = model.to(memory_format=torch.contiguous_format)(*inputs(experiment, 2))
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
