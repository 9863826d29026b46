"""What a trained tracker is compared with: one that never moves, and one that is shown the wrong target."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from lib.data.images import read_image
from lib.data.types import Sequence
from lib.inference.tracker import TrackResult


class FrameTracker(Protocol):
    """What the runner asks of a tracker; ``network_seconds`` is what the network took in the last call."""

    network_seconds: float

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        """Take the target from an RGB uint8 image at a box, xywh in pixels."""

    def update(self, image: np.ndarray) -> TrackResult:
        """The target's box in the next image."""


class TemplateTracker(FrameTracker, Protocol):
    """A tracker that keeps its encoded template as ``state``."""

    state: Any


class StaticTracker:
    """Answers the first box for every frame, with score 1."""

    network_seconds = 0.0

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        """Remember the box; the image is not looked at."""
        self._box = np.array(box, dtype=np.float64)

    def update(self, image: np.ndarray) -> TrackResult:
        """The first box again."""
        return TrackResult(self._box.copy(), 1.0)


class ForeignTemplateTracker:
    """``tracker`` started at the right box, but with the template of another sequence.

    A sequence is known by its first box, and is given the template of the next one in ``sequences`` (the first after
    the last) whose first box differs: the same one in every run and process. Raises ``ValueError`` if no two differ.
    """

    def __init__(self, tracker: TemplateTracker, sequences: list[Sequence]) -> None:
        first_boxes = np.array([sequence.boxes[0] for sequence in sequences])
        if len(np.unique(first_boxes, axis=0)) < 2:
            raise ValueError("a foreign template needs two sequences or more whose first boxes differ")
        self._tracker = tracker
        self._sequences = sequences
        self._first_boxes = first_boxes

    @property
    def network_seconds(self) -> float:
        """What the network took in the last call."""
        return self._tracker.network_seconds

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        """Start at ``box`` of ``image``, and exchange the template."""
        donor = self._donor(np.asarray(box, dtype=np.float64))
        self._tracker.init(read_image(donor.frames[0]), donor.boxes[0])
        foreign = self._tracker.state
        self._tracker.init(image, box)
        self._tracker.state = foreign

    def update(self, image: np.ndarray) -> TrackResult:
        """What the tracker finds for the wrong template."""
        return self._tracker.update(image)

    def _donor(self, box: np.ndarray) -> Sequence:
        same = (self._first_boxes == box).all(axis=1)
        start = int(same.argmax())
        return next(self._sequences[i] for i in (*range(start, len(same)), *range(start)) if not same[i])
