"""GOT-10k's scores equal the official toolkit's on every recorded sequence; what it refuses is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lib.evaluation.metrics import MetricError, got10k_overlaps, got10k_scores

GOLDEN = np.load(Path(__file__).parents[1] / "reference" / "metrics.golden.npz", allow_pickle=False)
NAMES = GOLDEN["names"].tolist()
REFUSED = {"nan_gt", "pred_longer", "pred_shorter", "nan_pred", "longer_zero_tail"}


def overlaps(name: str) -> np.ndarray:
    width, height = GOLDEN["image_size"].tolist()
    boxes, predicted, cover = (GOLDEN[f"seq.{name}.{part}"] for part in ("gt", "pred", "cover"))
    for array in (boxes, predicted, cover):
        array.flags.writeable = False
    return got10k_overlaps(boxes, predicted, cover, width, height)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_a_sequence_scores_as_recorded(name: str) -> None:
    row = NAMES.index(name)
    start, end = GOLDEN["got10k.got10k.frame_offsets"][row : row + 2]
    counted = GOLDEN[f"seq.{name}.cover"][1:] > 0
    found = overlaps(name)
    np.testing.assert_allclose(found, GOLDEN["got10k.got10k.frame_iou"][start:end][counted], rtol=0, atol=1e-12)
    scores = got10k_scores(found)
    recorded = GOLDEN["got10k.got10k.scores"][row]
    np.testing.assert_allclose([scores.ao, scores.sr50, scores.sr75], recorded, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.success_curve, GOLDEN["got10k.got10k.succ_curve"][row], rtol=0, atol=1e-12)
    assert scores.frames == counted.sum()


def test_a_set_pools_the_frames_of_what_can_be_scored() -> None:
    scored = {}
    for name in NAMES:
        try:
            scored[name] = overlaps(name)
        except MetricError:
            assert name in REFUSED
    assert list(scored) == GOLDEN["got10k.got10k.overall.names"].tolist()
    scores = got10k_scores(np.concatenate(list(scored.values())))
    recorded = GOLDEN["got10k.got10k.overall.scores"]
    np.testing.assert_allclose([scores.ao, scores.sr50, scores.sr75], recorded, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.success_curve, GOLDEN["got10k.got10k.overall.succ_curve"], rtol=0, atol=1e-12)
    mean_of_sequences = np.mean([got10k_scores(frames).ao for frames in scored.values()])
    assert mean_of_sequences == pytest.approx(float(GOLDEN["got10k.got10k.overall.mean_of_sequence_ao"]), abs=1e-12)
    assert abs(mean_of_sequences - scores.ao) > 0.01


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pred_longer", "61 predicted boxes for 60"),
        ("pred_shorter", "59 predicted boxes for 60"),
        ("longer_zero_tail", "41 predicted boxes for 40"),
        ("nan_pred", "predicted box of frame"),
        ("nan_gt", "ground truth of frame 30"),
    ],
)
def test_what_the_protocol_refuses_is_an_error_in_one_line(name: str, words: str) -> None:
    with pytest.raises(MetricError, match=words) as caught:
        overlaps(name)
    assert "\n" not in str(caught.value)


def test_a_frame_that_does_not_count_may_be_anything() -> None:
    boxes = np.array([[10.0, 10, 20, 20]] * 4)
    predicted = boxes.copy()
    predicted[0] = predicted[2] = np.nan
    cover = np.array([8, 8, 0, 8])
    np.testing.assert_allclose(got10k_overlaps(boxes, predicted, cover, 100, 100), [1, 1])


def test_cover_labels_are_needed() -> None:
    boxes = np.array([[10.0, 10, 20, 20]] * 4)
    for cover in (None, np.array([8, 8])):
        with pytest.raises(MetricError, match="cover"):
            got10k_overlaps(boxes, boxes, cover, 100, 100)


def test_no_frame_has_no_score() -> None:
    assert got10k_scores(np.empty(0)) is None
