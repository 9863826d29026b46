"""TransT's objective against the recorded numbers of the public code, and its rule for positives against slices."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lib.models.heads.mlp import MLPObjective, MLPObjectiveConfig, MLPPrediction, cells_on_target

REFERENCE = Path(__file__).parents[2] / "reference"
RECORDED = np.load(REFERENCE / "transt_loss.golden.npz", allow_pickle=False)
OUTPUTS = np.load(REFERENCE / "transt.golden.npz", allow_pickle=False)
OBJECTIVE = MLPObjective(MLPObjectiveConfig())
# Weights as filled, or with the gains under which the outputs differ from cell to cell; boxes within the crop, or two
# of the rule's corner cases.
CASES = ["", "alt_", "edge_", "alt_edge_"]


def prediction_of(logits: Tensor, boxes: Tensor) -> MLPPrediction:
    return MLPPrediction(boxes, logits.softmax(dim=-1)[..., 0], logits, extras={})


def recorded_case(case: str) -> tuple[MLPPrediction, Tensor]:
    """The recorded outputs of the network, to be differentiated, and the true boxes, xywh."""
    gain = "alt_" if case.startswith("alt_") else ""
    logits, boxes = (torch.from_numpy(OUTPUTS[f"{gain}pred_{name}"]).requires_grad_() for name in ("logits", "boxes"))
    center, size = torch.from_numpy(RECORDED[f"{case}target_boxes"]).split(2, dim=-1)
    return prediction_of(logits, boxes), torch.cat((center - 0.5 * size, size), dim=-1)


@pytest.mark.parametrize("case", CASES)
def test_positives_equal_the_recorded(case):
    boxes = recorded_case(case)[1]
    positive = cells_on_target(boxes, 32)
    assert positive.sum(dim=1).tolist() == RECORDED[f"{case}num_positives"].tolist()
    for sample in range(len(boxes)):
        assert np.array_equal(positive[sample].nonzero()[:, 0], RECORDED[f"{case}positive_index_{sample}"])


@pytest.mark.parametrize("case", CASES)
def test_losses_and_the_length_of_gradients_equal_the_recorded(case):
    prediction, target = recorded_case(case)
    result = OBJECTIVE(prediction, target)
    computed = {
        "loss_ce": result.terms["classification"],
        "loss_bbox": result.terms["l1"],
        "loss_giou": result.terms["giou"],
        "total": result.total,
        "iou": result.monitors["iou"],
        "class_error": 100 - 100 * result.monitors["accuracy"],
    }
    for name, value in computed.items():
        np.testing.assert_allclose(value.item(), RECORDED[case + name], rtol=2e-6, atol=1e-6, err_msg=name)
    assert not any(monitor.requires_grad for monitor in result.monitors.values())
    result.total.backward()
    norms = [part.grad.norm().item() for part in (prediction.logits, prediction.boxes)]
    np.testing.assert_allclose(norms, RECORDED[f"{case}grad_l2_logits_boxes"], rtol=1e-5)


def test_the_weights_are_those_of_the_published_code_and_the_background_has_its_own():
    config = MLPObjectiveConfig()
    for name, weight in (("loss_ce", config.classification), ("loss_bbox", config.l1), ("loss_giou", config.giou)):
        assert RECORDED[f"weight_{name}"] == weight
    assert RECORDED["eos_coef"] == config.background
    prediction, target = recorded_case("alt_")
    even, usual = MLPObjective(MLPObjectiveConfig(background=1.0))(prediction, target), OBJECTIVE(prediction, target)
    labels = (~cells_on_target(target, 32)).long()
    evenly = torch.nn.functional.cross_entropy(prediction.logits.transpose(1, 2), labels)
    torch.testing.assert_close(even.terms["classification"], evenly)
    assert even.terms["classification"] != usual.terms["classification"]


def sliced(box_xywh: list[float], n: int) -> np.ndarray:
    """The rule as a slice of numpy's."""
    x, y, width, height = box_xywh
    left, top, right, bottom = (math.ceil(n * edge) for edge in (x, y, x + width, y + height))
    cells = np.zeros((n, n), bool)
    cells[top : bottom + (top == bottom), left : right + (left == right)] = True
    return cells.flatten()


def test_positives_are_numpys_slices_wherever_the_box_lies():
    random = np.random.default_rng(0)
    boxes = np.concatenate([random.uniform(-3, 3, (4000, 2)), random.exponential(0.5, (4000, 2))], axis=1)
    boxes[::7, 2:] = 0
    boxes[::5] = (8 * boxes[::5]).round() / 8  # edges that lie on cells'
    positive = cells_on_target(torch.from_numpy(boxes), 8).numpy()
    assert np.array_equal(positive, [sliced(box, 8) for box in boxes.tolist()])
    inside = (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, :2] + boxes[:, 2:] < 0.875).all(axis=1)
    assert positive[inside].any(axis=1).all()
    assert not positive[~inside].any(axis=1).all()


def test_a_box_left_of_the_crop_marks_the_opposite_side_as_published():
    [positive] = cells_on_target(torch.tensor([[-0.5, 0.25, 0.25, 0.25]]), 8)
    assert positive.view(8, 8).nonzero().tolist() == [[row, column] for row in (2, 3) for column in (4, 5)]
    assert not cells_on_target(torch.tensor([[-0.5, 0.25, 0.75, 0.25]]), 8).any()


def test_denominators_are_of_the_whole_batch():
    """Each sample's share of the batch is as large as its positives and its weights are."""
    prediction, target = recorded_case("alt_")
    together = OBJECTIVE(prediction, target).terms
    alone = [
        OBJECTIVE(prediction_of(prediction.logits[i : i + 1], prediction.boxes[i : i + 1]), target[i : i + 1]).terms
        for i in range(2)
    ]
    positives = cells_on_target(target, 32).sum(dim=1).float()
    weights = positives + (1024 - positives) / 16
    for name, shares in (("giou", positives), ("l1", positives), ("classification", weights)):
        mean = sum(share * terms[name] for share, terms in zip(shares, alone, strict=True)) / shares.sum()
        torch.testing.assert_close(together[name], mean)


def test_a_batch_without_positives_trains_its_classes_alone():
    prediction, target = recorded_case("alt_edge_")
    result = OBJECTIVE(prediction, target[:1].expand(2, 4))
    assert result.terms["giou"] == result.terms["l1"] == 0
    assert result.monitors["iou"] == result.monitors["accuracy"] == 0
    result.total.backward()
    assert not prediction.boxes.grad.any()
    assert (prediction.logits.grad[..., 0] > 0).all()
