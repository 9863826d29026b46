"""LoRAT's objective against the recorded numbers of the public code: positives, losses, gradients, two processes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from reference_weights import image_tensor
from torch import Tensor
from torchvision.ops import box_convert

from lib.geometry.boxes import iou_and_giou
from lib.geometry.grids import touched_cells
from lib.models.heads.distance import LEAST_AREA, DistanceObjective, DistanceObjectiveConfig, DistancePrediction

RECORDED = np.load(Path(__file__).parents[2] / "reference" / "lorat_loss.golden.npz", allow_pickle=False)
# Samples of the made-up outputs that each case takes, and the grid.
CASES = {
    "syn224": (slice(0, 7), 16),
    "syn378": (slice(0, 3), 27),
    "single0": (slice(0, 1), 16),
    "single1": (slice(1, 2), 16),
    "single2": (slice(2, 3), 16),
    "rank0": (slice(0, 1), 16),
    "rank1": (slice(1, 4), 16),
    "net": (slice(0, 2), 16),
}


def outputs(case: str) -> tuple[Tensor, Tensor]:
    """Logits ``[B, g, g]`` and corners ``[B, g, g, 4]`` of a case, to be differentiated."""
    samples, grid = CASES[case]
    if case == "net":
        logits, corners = (torch.from_numpy(RECORDED[f"net.{name}"]) for name in ("score_map", "boxes"))
    else:
        name, count = ("lorat_loss378", 3) if grid == 27 else ("lorat_loss", 7)
        made = image_tensor((count, 5, grid, grid), name, 0)[samples]
        line = (torch.arange(grid, dtype=torch.float32) + 0.5) / grid
        centers = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
        before, behind = (made[:, 1:5] - 2).sigmoid().permute(0, 2, 3, 1).split(2, dim=-1)
        logits, corners = 3 * made[:, 0], torch.cat([centers - before, centers + behind], dim=-1)
    return logits.clone().requires_grad_(), corners.clone().requires_grad_()


def true_boxes(case: str) -> Tensor:
    """xywh in fractions of the crop, not clipped."""
    pixels = torch.from_numpy(RECORDED[f"{case}.target_pixels"])
    size = 378 if CASES[case][1] == 27 else 224
    return torch.cat([pixels[:, :2], pixels[:, 2:] - pixels[:, :2]], dim=1).div(size).float()


def prediction_of(logits: Tensor, corners: Tensor) -> DistancePrediction:
    logits, corners = logits.flatten(1), corners.flatten(1, 2)
    return DistancePrediction(box_convert(corners, "xyxy", "cxcywh"), logits.sigmoid(), logits, corners, extras={})


def relative(ours: Tensor, theirs: np.ndarray) -> float:
    """The largest difference over the largest entry."""
    return float(np.abs(ours.detach().double().numpy() - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("case", CASES)
def test_positives_equal_the_recorded(case):
    positive = touched_cells(true_boxes(case), CASES[case][1])
    samples, cells = positive.nonzero(as_tuple=True)
    assert np.array_equal(samples, RECORDED[f"{case}.positive_batch_index"])
    assert np.array_equal(cells, RECORDED[f"{case}.positive_cell_index"])


@pytest.mark.parametrize("case", CASES)
def test_losses_and_their_gradients_equal_the_recorded(case):
    """Those of two processes by the mean of their counts, as the recorded run had it."""
    logits, corners = outputs(case)
    given = f"{case}.denominator_given"
    count = torch.tensor(RECORDED[given]) if given in RECORDED else None
    objective = DistanceObjective(DistanceObjectiveConfig())
    assert objective.count(true_boxes(case), CASES[case][1]) == RECORDED[f"{case}.num_positives"][0]
    result = objective(prediction_of(logits, corners), true_boxes(case), count)
    result.total.backward()
    terms = {"loss_bce": result.terms["classification"], "loss_giou": result.terms["giou"]}
    for name, value in {"loss": result.total, **terms}.items():
        np.testing.assert_allclose(value.item(), RECORDED[f"{case}.{name}"][0], rtol=2e-6, err_msg=name)
    assert result.monitors["iou"].item() == pytest.approx(RECORDED[f"{case}.iou_at_positives"].mean(), rel=1e-5)
    assert relative(logits.grad, RECORDED[f"{case}.grad_score_map"]) < 1e-5
    assert relative(corners.grad, RECORDED[f"{case}.grad_boxes"]) < 1e-5


def test_overlaps_of_odd_pairs_equal_the_recorded():
    """Points, tiny boxes, inverted ones, and gradients where corners coincide."""
    predicted = torch.from_numpy(RECORDED["pairs.predicted"]).requires_grad_()
    true = torch.from_numpy(RECORDED["pairs.target"])
    overlap, generalized = iou_and_giou(predicted, true, least=LEAST_AREA)
    (1 - generalized).sum().backward()
    np.testing.assert_allclose(overlap.detach(), RECORDED["pairs.iou"], atol=1e-6)
    np.testing.assert_allclose(1 - generalized.detach(), RECORDED["pairs.giou_loss"], atol=1e-6)
    assert relative(predicted.grad, RECORDED["pairs.grad"]) < 1e-5


def test_a_step_without_positives_has_a_finite_loss():
    """A box beside the crop, which the published code ends the run for."""
    logits, corners = outputs("single0")
    result = DistanceObjective(DistanceObjectiveConfig())(
        prediction_of(logits, corners), torch.tensor([[1.5, 0.2, 0.3, 0.3]])
    )
    result.total.backward()
    assert result.total.isfinite()
    assert result.terms["giou"] == 0
    assert logits.grad.isfinite().all()


def test_each_group_has_its_own_denominator_if_the_recipe_asks_for_it():
    found = [DistanceObjective(DistanceObjectiveConfig(denominator=kind)).counts_steps for kind in ("group", "step")]
    assert found == [False, True]
