"""SimTrack's objective against the recorded numbers of the public code, and where it leaves them on purpose."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert

from lib.models.heads.base import ObjectiveConfig
from lib.models.heads.corner import CornerObjective, CornerPrediction
from lib.models.heads.terms import LEAST_BOX_SIDE

RECORDED = np.load(Path(__file__).parents[2] / "reference" / "simtrack_loss.golden.npz", allow_pickle=False)
TARGET = torch.from_numpy(RECORDED["target_boxes"])
OBJECTIVE = CornerObjective(ObjectiveConfig())
INVERTED, UPRIGHT = 3, [0, 1, 2, 4]


def prediction_of(boxes_cxcywh: Tensor) -> CornerPrediction:
    maps = torch.zeros(len(boxes_cxcywh), 4, 4)
    return CornerPrediction(boxes_cxcywh[:, None], torch.ones(len(boxes_cxcywh), 1), maps, maps, extras={})


def recorded(name: str) -> Tensor:
    return torch.from_numpy(RECORDED[name]).requires_grad_()


def test_losses_and_gradients_equal_the_recorded():
    boxes = recorded("pred_boxes")
    result = OBJECTIVE(prediction_of(boxes), TARGET)
    computed = {
        "giou_loss": result.terms["giou"],
        "l1_loss": result.terms["l1"],
        "total": result.total,
        "mean_iou": result.monitors["iou"],
    }
    for name, value in computed.items():
        np.testing.assert_allclose(value.item(), RECORDED[name], rtol=1e-6, err_msg=name)
    assert result.monitors["inverted"] == 0
    assert not any(monitor.requires_grad for monitor in result.monitors.values())
    result.total.backward()
    np.testing.assert_allclose(boxes.grad.numpy(), RECORDED["grad"], rtol=1e-5, atol=1e-6)


def test_each_sample_equals_the_recorded():
    boxes = torch.from_numpy(RECORDED["pred_boxes"])
    each = [OBJECTIVE(prediction_of(boxes[i : i + 1]), TARGET[i : i + 1]) for i in range(5)]
    for name, values in (
        ("giou_each", [1 - result.terms["giou"] for result in each]),
        ("l1_each", [result.terms["l1"] for result in each]),
        ("iou_each", [result.monitors["iou"] for result in each]),
    ):
        np.testing.assert_allclose(values, RECORDED[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_true_box_is_clamped_to_the_crop():
    clamped = torch.from_numpy(RECORDED["target_xyxy"])
    assert not torch.equal(clamped, box_convert(TARGET, "xywh", "xyxy"))
    corners = torch.cat(((clamped[:, :2] + clamped[:, 2:]) / 2, clamped[:, 2:] - clamped[:, :2]), dim=1)
    terms = OBJECTIVE(prediction_of(corners), TARGET).terms
    torch.testing.assert_close(torch.stack(list(terms.values())), torch.zeros(2), atol=1e-6, rtol=0)


def test_the_weights_are_those_of_the_published_code():
    config = ObjectiveConfig()
    assert RECORDED["weights"].tolist() == [config.giou, config.l1]


def test_an_inverted_box_is_counted_and_silences_nothing():
    """The published code gives the whole batch a GIoU loss and an IoU of 0 and trains it on L1, which ours does not."""
    assert RECORDED["bad_giou_loss"] == RECORDED["bad_mean_iou"] == 0
    assert RECORDED["bad_total"] == pytest.approx(5 * RECORDED["bad_l1_loss"])
    boxes = recorded("bad_pred_boxes")
    result = OBJECTIVE(prediction_of(boxes), TARGET)
    assert result.monitors["inverted"] == 1
    np.testing.assert_allclose(result.terms["l1"].item(), RECORDED["bad_l1_loss"], rtol=1e-6)
    assert torch.isfinite(result.terms["giou"])
    assert result.terms["giou"].item() > RECORDED["giou_loss"]
    upright_iou = RECORDED["iou_each"][UPRIGHT].sum() / 5
    assert upright_iou <= result.monitors["iou"].item() < upright_iou + LEAST_BOX_SIDE
    result.total.backward()
    np.testing.assert_allclose(boxes.grad[UPRIGHT].numpy(), RECORDED["grad"][UPRIGHT], rtol=1e-5, atol=1e-6)
    assert boxes.grad[INVERTED, 2] < RECORDED["bad_grad"][INVERTED, 2] < 0, "GIoU turns it back beyond what L1 does"
