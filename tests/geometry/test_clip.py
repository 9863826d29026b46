"""Boxes kept on the image: OSTrack's rule (a margin of the box stays) and TransT's (the center stays), as recorded."""

from pathlib import Path

import numpy as np
import pytest

from lib.geometry.clip import clip_box, clip_center

REFERENCE = Path(__file__).parents[1] / "reference"
CROP = np.load(REFERENCE / "crop.golden.npz", allow_pickle=False)
TRACKER = np.load(REFERENCE / "transt_tracker.golden.npz", allow_pickle=False)
STEPS = sorted(name.removesuffix(".pred_box_at_best") for name in TRACKER if name.endswith(".pred_box_at_best"))


def test_clip_box_equals_the_recorded() -> None:
    for row in CROP["clip_box.rows"]:
        clipped = clip_box(row[:4], 360, 480, row[4])
        assert clipped.dtype == np.float64
        np.testing.assert_array_equal(clipped, row[5:])


@pytest.mark.parametrize("step", STEPS)
def test_clip_center_equals_the_recorded_steps(step: str) -> None:
    """The box before it is clipped follows from what the network said, in fractions of the last box's window."""
    said, side = TRACKER[f"{step}.pred_box_at_best"].astype(np.float64), float(TRACKER[f"{step}.s_x"])
    center, size = said[:2] * side + TRACKER[f"{step}.center_in"] - side / 2, said[2:] * side
    clipped = clip_center(np.concatenate((center - size / 2, size)), 360, 480, 10)
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
        ((-15, 40, 20, 30), (-10, 40, 20, 30)),  # center left of the image
        ((150, -20, 40, 20), (140, -10, 40, 20)),  # right of it and above
        ((155, 115, 4, 500), (152, 60, 10, 120)),  # below it, too narrow and too high
        ((0, 0, 900, 2), (80, -4, 160, 10)),
    ],
)
def test_clip_center_moves_the_center_into_the_image_and_keeps_sides_between_the_least_and_the_images(
    box: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    np.testing.assert_array_equal(clip_center(box, 120, 160, 10), expected)
