"""The baselines a tracker is measured against do exactly what they claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lib.data.images import read_image
from lib.data.types import Sequence
from lib.evaluation.baselines import ForeignTemplateTracker, StaticTracker
from lib.inference.tracker import TrackResult

MakeSequence = Callable[..., Sequence]


class RecordingTracker:
    """Its state is the image and box it was shown; it answers the box it was last started at."""

    network_seconds = 0.25

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        self.state = (image.copy(), np.array(box))
        self.box = np.array(box)

    def update(self, image: np.ndarray) -> TrackResult:
        return TrackResult(self.box, 0.5)


def test_the_static_tracker_repeats_the_first_box(make_sequence: MakeSequence) -> None:
    tracker, sequence = StaticTracker(), make_sequence("a")
    tracker.init(read_image(sequence.frames[0]), sequence.boxes[0])
    tracker.update(read_image(sequence.frames[1])).box[:] = 0
    np.testing.assert_array_equal(tracker.update(read_image(sequence.frames[2])).box, sequence.boxes[0])


def test_a_foreign_template_is_the_next_sequences_but_the_box_is_the_own(make_sequence: MakeSequence) -> None:
    sequences = [make_sequence(f"s{i}", first=(10 + 3 * i, 12, 16, 14)) for i in range(3)]
    inner = RecordingTracker()
    tracker = ForeignTemplateTracker(inner, sequences)
    for sequence, donor in zip(sequences, sequences[1:] + sequences[:1], strict=True):
        tracker.init(read_image(sequence.frames[0]), sequence.boxes[0])
        image, box = inner.state
        np.testing.assert_array_equal(image, read_image(donor.frames[0]))
        np.testing.assert_array_equal(box, donor.boxes[0])
        np.testing.assert_array_equal(tracker.update(image).box, sequence.boxes[0])
    assert tracker.network_seconds == 0.25


def test_sequences_with_the_same_first_box_are_never_each_others_donor(make_sequence: MakeSequence) -> None:
    one, other = make_sequence("one"), make_sequence("other", first=(30, 20, 10, 10))
    twin = replace(make_sequence("twin"), boxes=one.boxes)
    inner = RecordingTracker()
    tracker = ForeignTemplateTracker(inner, [other, one, twin])
    for sequence in (one, twin):
        tracker.init(read_image(sequence.frames[0]), sequence.boxes[0])
        np.testing.assert_array_equal(inner.state[1], other.boxes[0])
    with pytest.raises(ValueError, match="two sequences"):
        ForeignTemplateTracker(inner, [one, twin])
