from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lib.models.heads.center import CenterObjective, CenterObjectiveConfig, CenterPrediction

RECORDED = np.load(Path(__file__).parents[2] / "reference" / "targets.golden.npz", allow_pickle=False)
BOXES = torch.from_numpy(RECORDED["actor.gt_xywh"])
OBJECTIVE = CenterObjective(CenterObjectiveConfig())


def prediction_of(score_map: Tensor, picked_cxcywh: Tensor) -> CenterPrediction:
    """A prediction whose box is ``picked`` at each argmax, and a wrong one, sometimes inverted, in every other cell."""
    batch, _, n, _ = score_map.shape
    cells = torch.randn(batch, n * n, 4, generator=torch.Generator().manual_seed(0))
    best = score_map.flatten(1).argmax(dim=1)
    boxes = cells.scatter(1, best[:, None, None].expand(-1, 1, 4), picked_cxcywh)
    maps = torch.zeros(batch, 2, n, n)
    return CenterPrediction(boxes, score_map.flatten(1), score_map, maps, maps, extras={})


def recorded_case(n: int) -> tuple[Tensor, Tensor]:
    score_map = torch.from_numpy(RECORDED[f"actor.score_map{n}"]).requires_grad_()
    return score_map, torch.from_numpy(RECORDED["actor.pred_cxcywh"]).requires_grad_()


@pytest.mark.parametrize("n", [16, 20])
def test_losses_and_gradients_equal_the_recorded(n: int) -> None:
    score_map, picked = recorded_case(n)
    result = OBJECTIVE(prediction_of(score_map, picked), BOXES)
    computed = {
        "total": result.total,
        "Ls_total": result.total,
        "Ls_giou": result.terms["giou"],
        "Ls_l1": result.terms["l1"],
        "Ls_loc": result.terms["focal"],
        "IoU": result.monitors["iou"],
    }
    for name, value in computed.items():
        np.testing.assert_allclose(value.item(), RECORDED[f"actor.{name}{n}"], rtol=1e-6, err_msg=name)
    assert result.monitors["inverted"] == 0
    assert not any(monitor.requires_grad for monitor in result.monitors.values())
    result.total.backward()
    np.testing.assert_allclose(picked.grad.numpy(), RECORDED[f"actor.grad_boxes{n}"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(score_map.grad.numpy(), RECORDED[f"actor.grad_score{n}"], rtol=1e-5, atol=1e-6)


def test_a_box_beyond_the_crop_is_clamped_for_its_box_and_not_for_its_heatmap() -> None:
    """The heat map's center follows the whole box, off the grid here; the box is compared with the part in the crop."""
    beyond = torch.tensor([[0.8, 0.4, 0.8, 0.2]])
    score_map = torch.full((1, 1, 16, 16), 0.1)
    exact = prediction_of(score_map, torch.tensor([[[0.9, 0.5, 0.2, 0.2]]]))
    result, of_the_part = OBJECTIVE(exact, beyond), OBJECTIVE(exact, torch.tensor([[0.8, 0.4, 0.2, 0.2]]))
    torch.testing.assert_close(result.terms["giou"], torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.terms["l1"], torch.tensor(0.0), atol=1e-6, rtol=0)
    assert abs(result.terms["focal"] - of_the_part.terms["focal"]) > 0.1


def test_positives_are_counted_over_the_whole_batch() -> None:
    score_map, picked = (tensor.detach() for tensor in recorded_case(16))
    boxes = BOXES.clone()
    boxes[3] = torch.tensor([1.1, 0.5, 0.1, 0.1])
    together = OBJECTIVE(prediction_of(score_map, picked), boxes).terms["focal"]
    alone = [
        OBJECTIVE(prediction_of(score_map[i : i + 1], picked[i : i + 1]), boxes[i : i + 1]).terms["focal"]
        for i in range(4)
    ]
    torch.testing.assert_close(together, sum(alone) / 3)


def test_an_inverted_box_is_counted_and_silences_nothing() -> None:
    score_map, picked = recorded_case(16)
    upright = OBJECTIVE(prediction_of(score_map, picked), BOXES)
    inverted = picked.detach().clone()
    inverted[1, 0, 2] *= -1
    inverted.requires_grad_()
    result = OBJECTIVE(prediction_of(score_map, inverted), BOXES)
    assert result.monitors["inverted"] == 1
    assert torch.isfinite(result.total)
    assert result.terms["giou"] > upright.terms["giou"]
    assert result.monitors["iou"] < upright.monitors["iou"]
    result.total.backward()
    others = [0, 2, 3]
    np.testing.assert_allclose(
        inverted.grad[others].numpy(), RECORDED["actor.grad_boxes16"][others], rtol=1e-5, atol=1e-6
    )
    assert inverted.grad[1, 0, 2] < 0
