"""A sequence gives a track or says why not; only Ctrl-C goes further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.data.types import Sequence
from lib.evaluation.attempt import Failure, attempt, is_sound, track_sequence
from tests.evaluation.toy_trackers import DriftingTracker


class Raising(DriftingTracker):
    """Raises ``error`` at its first update."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def update(self, image: np.ndarray):
        raise self.error


def test_each_frame_is_announced_before_it_is_begun(make_sequence: Callable[..., Sequence]) -> None:
    sequence, begun = make_sequence("s", frames=5), []
    track = track_sequence(DriftingTracker(), sequence, begun.append)
    assert begun == [0, 1, 2, 3, 4]
    assert track.boxes.shape == (5, 4)
    assert isinstance(attempt(Raising(RuntimeError()), sequence, begun.append), Failure)
    assert begun[5:] == [0, 1]


@pytest.mark.parametrize(("error", "reason", "explained"), [
    (RuntimeError("two\nlines"), "RuntimeError: two lines", False),
    (SystemExit(3), "SystemExit: 3", False),
    (torch.OutOfMemoryError("CUDA out of memory."), "OutOfMemoryError: CUDA out of memory.", False),
    (AssertionError(), "AssertionError: no message", False),
    (ValueError("0001.jpg: no image; unpack it again"), "0001.jpg: no image; unpack it again", True),
])  # fmt: skip
def test_what_is_raised_becomes_a_reason(make_sequence, error: BaseException, reason: str, explained: bool) -> None:
    failure = attempt(Raising(error), make_sequence("s"), lambda frame: None)
    assert (failure.reason, failure.explained) == (reason, explained)
    assert "in update\n" in failure.traceback


def test_ctrl_c_is_no_failure_and_a_sequence_without_frames_is(make_sequence: Callable[..., Sequence]) -> None:
    sequence = make_sequence("s")
    with pytest.raises(KeyboardInterrupt):
        attempt(Raising(KeyboardInterrupt()), sequence, lambda frame: None)
    empty = attempt(DriftingTracker(), replace(sequence, frames=()), lambda frame: None)
    assert empty.reason == "sequence s has no frames"


def test_a_gpu_that_answers_with_an_error_is_not_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    assert is_sound()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert is_sound()
    monkeypatch.setattr(torch.cuda, "synchronize", failed)
    assert not is_sound()
