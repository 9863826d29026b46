from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.geometry import boxes

REFERENCE = Path(__file__).parents[1] / "reference"
TARGETS = np.load(REFERENCE / "targets.golden.npz", allow_pickle=False)
CROP = np.load(REFERENCE / "crop.golden.npz", allow_pickle=False)


@pytest.mark.parametrize("name", ["cxcywh_to_xyxy", "xywh_to_xyxy", "xyxy_to_cxcywh", "xyxy_to_xywh"])
def test_conversions_equal_the_recorded(name: str) -> None:
    converted = getattr(boxes, name)(torch.from_numpy(TARGETS["convert.in"]))
    np.testing.assert_allclose(converted.numpy(), TARGETS[f"convert.{name}"], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("xywh_to_xyxy", "xyxy_to_xywh"),
        ("xywh_to_cxcywh", "cxcywh_to_xywh"),
        ("xyxy_to_cxcywh", "cxcywh_to_xyxy"),
    ],
)
def test_a_conversion_and_its_inverse_give_the_box_back(there: str, back: str) -> None:
    given = torch.rand(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(getattr(boxes, there)(given), given)
    torch.testing.assert_close(getattr(boxes, back)(getattr(boxes, there)(given)), given)


def test_two_ways_from_xywh_to_cxcywh_agree() -> None:
    given = torch.tensor([[2.0, 4.0, 6.0, 10.0]])
    assert boxes.xywh_to_cxcywh(given).tolist() == [[5.0, 9.0, 6.0, 10.0]]
    torch.testing.assert_close(boxes.xyxy_to_cxcywh(boxes.xywh_to_xyxy(given)), boxes.xywh_to_cxcywh(given))


def test_overlaps_equal_the_recorded_with_their_nan_rows() -> None:
    a, b = (torch.from_numpy(TARGETS[f"pair.boxes{i}_xyxy"]) for i in (1, 2))
    overlap, union = boxes.iou(a, b)
    for computed, name in ((overlap, "iou"), (union, "union"), (boxes.generalized_iou(a, b), "giou")):
        np.testing.assert_allclose(computed.numpy(), TARGETS[f"pair.{name}"], rtol=1e-6, atol=1e-7, equal_nan=True)


def test_overlap_takes_any_leading_axes() -> None:
    a, b = (torch.from_numpy(TARGETS[f"pair.boxes{i}_xyxy"])[:4] for i in (1, 2))
    folded = boxes.generalized_iou(a.reshape(2, 2, 4), b.reshape(2, 2, 4))
    assert torch.equal(folded, boxes.generalized_iou(a, b).reshape(2, 2))


def test_clip_box_equals_the_recorded() -> None:
    for row in CROP["clip_box.rows"]:
        clipped = boxes.clip_box(row[:4], 360, 480, row[4])
        assert clipped.dtype == np.float64
        np.testing.assert_array_equal(clipped, row[5:])


# TransT's rule: the centre stays in the image

TRACKER = np.load(REFERENCE / "transt_tracker.golden.npz", allow_pickle=False)
STEPS = sorted(name.removesuffix(".pred_box_at_best") for name in TRACKER if name.endswith(".pred_box_at_best"))


@pytest.mark.parametrize("step", STEPS)
def test_clip_center_equals_the_recorded_steps(step: str) -> None:
    """The box before it is clipped follows from what the network said, in fractions of the last box's window."""
    said, side = TRACKER[f"{step}.pred_box_at_best"].astype(np.float64), float(TRACKER[f"{step}.s_x"])
    center, size = said[:2] * side + TRACKER[f"{step}.center_in"] - side / 2, said[2:] * side
    clipped = boxes.clip_center(np.concatenate((center - size / 2, size)), 360, 480, 10)
    assert clipped.dtype == np.float64
    np.testing.assert_allclose(clipped, TRACKER[f"{step}.target_bbox"], atol=1e-4)
    np.testing.assert_allclose(clipped[:2] + clipped[2:] / 2, TRACKER[f"{step}.center_out"], atol=1e-4)


def test_the_recorded_steps_reach_every_edge_that_clip_center_has() -> None:
    centers, sizes = (np.array([TRACKER[f"{step}.{part}"] for step in STEPS]) for part in ("center_out", "size_out"))
    assert len(STEPS) == 12
    assert (centers == 0).any() and (centers[:, 1] == 360).any()
    assert (sizes == 10).any() and (sizes[:, 0] == 480).any() and (sizes[:, 1] == 360).any()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((50, 40, 20, 30), (50, 40, 20, 30)),  # fits, and stays
        ((-6, 100, 20, 30), (-6, 100, 20, 30)),  # may reach outside
        ((-15, 40, 20, 30), (-10, 40, 20, 30)),  # centre left of the image
        ((150, -20, 40, 20), (140, -10, 40, 20)),  # right of it and above
        ((155, 115, 4, 500), (152, 60, 10, 120)),  # below it, too narrow and too high
        ((0, 0, 900, 2), (80, -4, 160, 10)),
    ],
)
def test_clip_center_moves_the_centre_into_the_image_and_keeps_sides_between_the_least_and_the_images(
    box: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    np.testing.assert_array_equal(boxes.clip_center(box, 120, 160, 10), expected)
