from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_convert

from lib.geometry import boxes

REFERENCE = Path(__file__).parents[1] / "reference"
TARGETS = np.load(REFERENCE / "targets.golden.npz", allow_pickle=False)


def test_two_ways_from_xywh_to_cxcywh_agree() -> None:
    given = torch.tensor([[2.0, 4.0, 6.0, 10.0]])
    assert boxes.xywh_to_cxcywh(given).tolist() == [[5.0, 9.0, 6.0, 10.0]]
    torch.testing.assert_close(box_convert(given, "xywh", "cxcywh"), boxes.xywh_to_cxcywh(given))


def test_overlaps_equal_the_recorded_with_their_nan_rows() -> None:
    a, b = (torch.from_numpy(TARGETS[f"pair.boxes{i}_xyxy"]) for i in (1, 2))
    for computed, name in zip(boxes.iou_and_giou(a, b), ("iou", "giou"), strict=True):
        np.testing.assert_allclose(computed.numpy(), TARGETS[f"pair.{name}"], rtol=1e-6, atol=1e-7, equal_nan=True)


def test_overlap_takes_any_leading_axes() -> None:
    a, b = (torch.from_numpy(TARGETS[f"pair.boxes{i}_xyxy"])[:4] for i in (1, 2))
    folded = boxes.iou_and_giou(a.reshape(2, 2, 4), b.reshape(2, 2, 4))
    for ours, expected in zip(folded, boxes.iou_and_giou(a, b), strict=True):
        assert torch.equal(ours, expected.reshape(2, 2))
