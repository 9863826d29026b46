from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert

from lib.models.heads.terms import focal_loss, giou_loss

RECORDED = np.load(Path(__file__).parents[2] / "reference" / "targets.golden.npz", allow_pickle=False)
TARGET = torch.tensor([[0.4, 0.4, 0.6, 0.7]])


def recorded(name: str) -> torch.Tensor:
    return torch.from_numpy(RECORDED[name])


@pytest.mark.parametrize("n", [16, 20])
def test_focal_loss_equals_the_recorded(n: int) -> None:
    scores, heat = recorded(f"focal.pred{n}"), recorded(f"heat.map{n}")[:, None]
    each = [focal_loss(scores[i : i + 1], heat[i : i + 1]).item() for i in range(len(heat))]
    np.testing.assert_allclose(each, RECORDED[f"focal.each{n}"], rtol=1e-6)
    np.testing.assert_allclose(focal_loss(scores, heat).item(), RECORDED[f"focal.batch{n}"], rtol=1e-6)
    assert not np.isclose(np.mean(each), RECORDED[f"focal.batch{n}"], rtol=1e-3)


@pytest.mark.parametrize("n", [16, 20])
def test_focal_loss_without_positives_is_the_recorded_undivided_sum(n: int) -> None:
    scores, heat = (recorded(name)[15].expand(2, 1, n, n) for name in (f"focal.pred{n}", f"heat.map{n}"))
    assert not (heat == 1).any()
    np.testing.assert_allclose(focal_loss(scores, heat).item(), RECORDED[f"focal.batch_no_positive{n}"], rtol=1e-6)


@pytest.mark.parametrize("n", [16, 20])
def test_focal_loss_and_its_gradient_equal_the_recorded(n: int) -> None:
    scores = recorded(f"focal.pred{n}")[:4].clone().requires_grad_()
    loss = focal_loss(scores, recorded(f"heat.map{n}")[:4, None])
    loss.backward()
    np.testing.assert_allclose(loss.item(), RECORDED[f"focal.batch_first4_{n}"], rtol=1e-6)
    np.testing.assert_allclose(scores.grad.numpy(), RECORDED[f"focal.grad_first4_{n}"], rtol=1e-5, atol=1e-6)


def test_focal_loss_of_a_score_of_one_is_as_recorded() -> None:
    extreme = focal_loss(recorded("focal.extreme_pred"), recorded("focal.extreme_target"))
    np.testing.assert_equal(extreme.item(), RECORDED["focal.extreme_loss"].item())
    at_negative = focal_loss(torch.ones(1, 1), torch.zeros(1, 1))
    np.testing.assert_equal(at_negative.item(), RECORDED["focal.pred1_at_negative"].item())


def test_focal_loss_of_a_missed_positive_is_finite() -> None:
    np.testing.assert_allclose(focal_loss(torch.zeros(1, 1), torch.ones(1, 1)).item(), -np.log(1e-12), rtol=1e-6)


def test_terms_of_bf16_tensors_are_those_of_their_values_in_float32() -> None:
    scores, heat = recorded("focal.pred16").bfloat16(), recorded("heat.map16")[:, None].bfloat16()
    assert torch.equal(focal_loss(scores, heat), focal_loss(scores.float(), heat.float()))
    boxes = recorded("actor.pred_cxcywh")[:, 0].bfloat16()
    boxes, target = box_convert(boxes, "cxcywh", "xyxy"), TARGET.expand(4, 4).bfloat16()
    for half, widened in zip(giou_loss(boxes, target), giou_loss(boxes.float(), target.float()), strict=True):
        assert torch.equal(half, widened)


def test_giou_loss_equals_the_recorded() -> None:
    finite = RECORDED["pair.finite_index"]
    loss, overlap, inverted = giou_loss(recorded("pair.boxes1_xyxy")[finite], recorded("pair.boxes2_xyxy")[finite])
    np.testing.assert_allclose(loss.item(), RECORDED["pair.giou_loss_mean_finite"], rtol=1e-6)
    np.testing.assert_allclose(overlap.numpy(), RECORDED["pair.giou_loss_iou_finite"], rtol=1e-6, atol=1e-7)
    assert not inverted.any()


INVERTED = [
    (0.5, 0.5, -0.1, 0.2),
    (0.5, 0.5, 0.2, -0.1),
    (0.5, 0.5, -1e-6, 0.2),
    (0.9, 0.1, -0.3, -0.2),
    (-3.0, 7.0, -50.0, -50.0),
]


@pytest.mark.parametrize("box_cxcywh", INVERTED)
def test_an_inverted_box_is_counted_and_turned_back_by_its_gradient(box_cxcywh: tuple[float, ...]) -> None:
    assert RECORDED["pair.inverted_error"].item().startswith("AssertionError")
    box = torch.tensor([box_cxcywh], requires_grad=True)
    loss, overlap, inverted = giou_loss(box_convert(box, "cxcywh", "xyxy"), TARGET)
    assert inverted.tolist() == [True]
    assert torch.isfinite(loss)
    assert loss > 0.99
    assert overlap.item() < 0.01
    optimizer = torch.optim.Adam([box], lr=0.02)
    for _ in range(40):
        (gradient,) = torch.autograd.grad(giou_loss(box_convert(box, "cxcywh", "xyxy"), TARGET)[0], box)
        assert torch.isfinite(gradient).all()
        turned = box.detach()[:, 2:] < 0
        assert (gradient[:, 2:][turned] < 0).all()
        box.grad = gradient
        optimizer.step()
    assert (box[:, 2:] > torch.tensor(box_cxcywh[2:])).all()
    assert giou_loss(box_convert(box, "cxcywh", "xyxy"), TARGET)[0] < loss


def test_an_inverted_box_leaves_the_terms_of_its_batch_alone() -> None:
    upright = torch.tensor([[0.45, 0.4, 0.65, 0.8]])
    alone = upright.clone().requires_grad_()
    giou_loss(alone, TARGET)[0].backward()
    beside = torch.cat((upright, box_convert(torch.tensor([INVERTED[0]]), "cxcywh", "xyxy"))).requires_grad_()
    loss, _, inverted = giou_loss(beside, TARGET.expand(2, 4))
    loss.backward()
    assert inverted.tolist() == [False, True]
    torch.testing.assert_close(beside.grad[:1] * 2, alone.grad)


def test_an_inverted_box_against_a_target_without_area_is_finite() -> None:
    box = box_convert(torch.tensor([[0.9, 0.5, -0.1, -0.2]]), "cxcywh", "xyxy").requires_grad_()
    loss, overlap, _ = giou_loss(box, torch.tensor([[1.0, 0.5, 1.0, 0.5]]))
    loss.backward()
    assert torch.isfinite(torch.cat((loss[None], overlap, box.grad.flatten()))).all()


def test_an_inverted_box_as_large_as_its_target_overlaps_nothing() -> None:
    """The areas, one of them negative, would add up to no union at all."""
    _, overlap, _ = giou_loss(torch.tensor([[1.0, 0.0, 0.5, 0.5]]), torch.tensor([[0.0, 0.0, 0.5, 0.5]]))
    np.testing.assert_allclose(overlap.numpy(), 0, atol=1e-3)


def test_a_box_of_no_number_stays_visible_in_the_loss() -> None:
    loss, _, inverted = giou_loss(torch.tensor([[0.1, 0.1, float("nan"), 0.3]]), TARGET)
    assert torch.isnan(loss)
    assert not inverted.any()
