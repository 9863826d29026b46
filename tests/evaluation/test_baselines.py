"""The baselines a tracker is measured against do exactly what they claim."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.running.baselines import ForeignTemplates, StaticEngine

MakeSequence = Callable[..., Sequence]


def test_the_static_engine_repeats_the_first_box(make_sequence: MakeSequence) -> None:
    sequences = [make_sequence("a"), make_sequence("b", frames=7)]
    waiting = iter(sequences)
    outcomes = list(StaticEngine().run(lambda: next(waiting, None), lambda frames: None))
    assert [sequence for sequence, _ in outcomes] == sequences
    for sequence, track in outcomes:
        np.testing.assert_array_equal(track.boxes, np.repeat(sequence.boxes[:1], len(sequence), axis=0))
        assert len(track.scores) == len(track.seconds) == len(track.network_seconds) == len(sequence)


def test_a_foreign_template_is_the_next_sequences(make_sequence: MakeSequence) -> None:
    sequences = [make_sequence(f"s{i}", first=(10 + 3 * i, 12, 16, 14)) for i in range(3)]
    template_of = ForeignTemplates(sequences)
    for sequence, donor in zip(sequences, sequences[1:] + sequences[:1], strict=True):
        frame, box = template_of(sequence)
        assert frame == donor.frames[0]
        np.testing.assert_array_equal(box, donor.boxes[0])


def test_sequences_with_the_same_first_box_are_never_each_others_donor(make_sequence: MakeSequence) -> None:
    one, other = make_sequence("one"), make_sequence("other", first=(30, 20, 10, 10))
    twin = replace(make_sequence("twin"), boxes=one.boxes)
    template_of = ForeignTemplates([other, one, twin])
    assert template_of(one)[0] == template_of(twin)[0] == other.frames[0]
    assert template_of(other)[0] == one.frames[0]
    with pytest.raises(ValueError, match="two sequences"):
        ForeignTemplates([one, twin])
