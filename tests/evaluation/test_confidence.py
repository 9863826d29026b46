"""What scores say of boxes: equal to counts over all pairs, all thresholds and all frames."""

import json
from pathlib import Path

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.metrics.attributes import known_attributes
from lib.evaluation.metrics.confidence import auroc, best_threshold, frames_of, measure_confidence, reliability
from lib.evaluation.reports.comparison import Comparison, compare
from lib.evaluation.reports.layout import confidence_tables
from lib.evaluation.reports.plain import plain_comparison
from lib.evaluation.reports.tables import render_table
from lib.evaluation.results.lookup import open_result_set

FRAMES = 30


def drawn(seed: int, positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties."""
    rng = np.random.default_rng(seed)
    return rng.integers(2, 9, positives) / 8, rng.integers(0, 6, negatives) / 8


@pytest.mark.parametrize("seed", range(2))
def test_auroc_equals_the_count_of_all_pairs(seed: int) -> None:
    positive, negative = drawn(seed, 23, 17)
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    assert auroc(positive, negative) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_auroc_of_sure_and_of_equal_scores_and_of_one_kind() -> None:
    assert auroc(np.array([2.0, 3.0]), np.array([-1.0, 1.0])) == 1
    assert auroc(np.full(3, 0.5), np.full(4, 0.5)) == 0.5
    assert auroc(np.ones(3), np.empty(0)) is None and best_threshold(np.empty(0), np.ones(3)) is None


@pytest.mark.parametrize("seed", range(2))
def test_no_threshold_is_better(seed: int) -> None:
    on, lost = drawn(seed, 31, 12)
    found = best_threshold(on, lost)

    def gain(value: float) -> float:
        return (lost < value).mean() - (on < value).mean()

    tried = np.arange(-1, 17) / 16 + 1 / 64  # between and beside all scores that there are
    assert found.found - found.false_alarms == pytest.approx(max(map(gain, tried)))
    assert found.found == (lost < found.value).mean() and found.false_alarms == (on < found.value).mean()
    assert found.value not in [*on, *lost]
    lower = tried[tried < found.value - 1 / 16]
    assert all(gain(value) < gain(found.value) for value in lower)


def test_bins_hold_every_frame_once_and_ties_together() -> None:
    scores = np.repeat([0.1, 0.2, 0.2, 0.9], [5, 30, 1, 4])
    on = scores > 0.15
    curve = reliability(scores, on, bins=4)
    assert curve.counts.sum() == len(scores) and len(curve.counts) == len(np.unique(curve.scores))
    np.testing.assert_allclose((curve.scores * curve.counts).sum(), scores.sum())
    np.testing.assert_allclose((curve.shares * curve.counts).sum(), on.sum())
    rising = reliability(np.arange(40.0), np.arange(40) >= 20, bins=4)
    assert rising.counts.tolist() == [10] * 4 and rising.shares.tolist() == [0, 0, 1, 1]


def sequence(name: str = "Animal1", **changed) -> Sequence:
    """A still square of 20 x 20 px."""
    boxes = np.tile([[10.0, 10, 20, 20]], (FRAMES, 1))
    words = {"boxes": boxes, "visible": np.ones(FRAMES, bool), **changed}
    return Sequence(name, "dtb70", tuple(Path(f"{n}.jpg") for n in range(FRAMES)), **words)


def test_which_frames_count_as_what() -> None:
    truth = np.tile([[10.0, 10, 20, 20]], (6, 1))
    truth[2] = np.nan
    truth[3] = 0
    boxes = np.tile([[10.0, 10, 20, 20]], (6, 1))
    boxes[4] += [6, 0, 0, 0]  # overlap 14/26 > 0.5
    boxes[5] += [8, 0, 0, 0]  # overlap 12/28 < 0.5
    scores = np.arange(6.0)
    plain = frames_of(sequence(boxes=truth), boxes, scores)
    assert plain.scores.tolist() == [1, 2, 3, 4, 5]  # all but the first, which was given
    assert plain.on.tolist() == [True, False, False, True, False]
    assert plain.absent.tolist() == [False, True, True, False, False]
    flags = np.array([False, False, True, False, True, False])
    flagged = frames_of(sequence(boxes=truth, absent=flags), boxes, scores)
    assert flagged.scores.tolist() == [1, 2, 4, 5]  # frame 3 is said to show the target and has no box
    assert flagged.absent.tolist() == [False, True, True, False] and flagged.on.tolist() == [True, False, False, False]
    cover = np.array([8, 8, 0, 8, 8, 0])
    covered = frames_of(sequence(boxes=truth, cover=cover), boxes, scores)
    assert covered.scores.tolist() == [1, 2, 4, 5] and covered.absent.tolist() == [False, True, False, True]
    with pytest.raises(ValueError, match="5 scores and 6 boxes for 6 frames"):
        frames_of(sequence(boxes=truth), boxes, scores[:5])


@pytest.fixture
def compared(tmp_path: Path) -> Comparison:
    """``sure`` keeps scores that tell where its box is; ``silent`` keeps none, ``damaged`` a text."""
    absent = np.zeros(FRAMES, bool)
    absent[20:25] = True
    sequences = [sequence("Animal1", absent=absent), sequence("Car2")]
    for tracker in ("sure", "silent", "damaged"):
        (tmp_path / tracker).mkdir()
        for each in sequences:
            boxes = each.boxes.copy()
            boxes[10:15] += 50
            scores = np.full(FRAMES, 0.9)
            scores[10:15] = 0.4
            scores[20:25] = 0.2 if each.absent is not None else 0.9
            np.savetxt(tmp_path / tracker / f"{each.name}.txt", boxes, delimiter=",")
            if tracker != "silent":
                np.savetxt(tmp_path / tracker / f"{each.name}_scores.txt", scores)
    (tmp_path / "damaged" / "Car2_scores.txt").write_text("0.5\nhigh\n")
    groups = [(name, [open_result_set(tmp_path / name, "dtb70")]) for name in ("sure", "silent", "damaged")]
    attributes = known_attributes("dtb70", ["Animal1", "Car2"])
    return compare("dtb70", sequences, groups, ["pytracking"], attributes).with_confidence()


def test_the_confidence_of_results_on_disk(compared: Comparison) -> None:
    sure, silent, damaged = (compared.confidence[name] for name in ("sure", "silent", "damaged"))
    assert (sure.frames, sure.on, sure.absent, sure.auroc) == (58, 43, 5, 1.0)
    assert sure.threshold.value == pytest.approx(0.55) and sure.thresholds["lost"].value == pytest.approx(0.65)
    assert (silent.frames, silent.left_out) == (0, "2 of 2 sequences without a file of scores")
    assert damaged.frames == 29 and damaged.left_out.startswith("1 that cannot be read (Car2: ")
    assert (
        json.loads(json.dumps(plain_comparison(compared), allow_nan=False))["confidence"]["sure"]["lost_below"] == 0.55
    )


def test_the_tables_say_the_threshold_plainly(compared: Comparison) -> None:
    whole, curves = confidence_tables(compared)
    text = render_table(whole, "text")
    assert "sure: 58 frames, 43 on the target, 5 absent; best between absent frames and those on the target: " in text
    assert "lost_below: 0.55" in text and "silent: no confidence: 2 of 2 sequences without a file of scores" in text
    assert [row.label for row in curves.rows][:2] == ["sure, mean score", "sure, on target"]
    [row] = [line for line in render_table(whole, "csv").splitlines() if line.startswith("sure,")]
    assert row == "sure,100.0,74.1,8.6,0.550,100.0,0.0"


def test_without_absent_frames_the_threshold_parts_the_target_from_the_rest() -> None:
    boxes = sequence().boxes.copy()
    boxes[20:] += 50
    scores = np.where(np.arange(FRAMES) < 20, 0.8, 0.3)
    found = measure_confidence(frames_of(sequence(), boxes, scores))
    assert list(found.thresholds) == ["lost"] and found.threshold.value == 0.55
