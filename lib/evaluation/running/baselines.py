"""Baselines for a trained tracker: one whose box never moves, and the templates of wrong targets."""

from collections import abc
from collections.abc import Callable, Iterator

import numpy as np

from lib.data.types import Location, Sequence
from lib.inference.engine import Outcome, Take, Track


class StaticEngine:
    """Gives the first box for every frame, with score 1; reads no image."""

    def run(self, take: Take, show: Callable[[int], None]) -> Iterator[Outcome]:
        """Track as ``lib.inference.engine.Engine`` does."""
        while (sequence := take()) is not None:
            frames = len(sequence)
            boxes = np.repeat(np.array(sequence.boxes[:1], dtype=np.float64), frames, axis=0)
            yield sequence, Track(boxes, np.ones(frames), np.zeros(frames), np.zeros(frames))


class ForeignTemplates:
    """For ``Engine``: gives each sequence the template of the next one (after the last, the first) whose first box
    differs, the same one in every run and process. Raises ``ValueError`` if all first boxes are equal."""

    def __init__(self, sequences: abc.Sequence[Sequence]) -> None:
        self._sequences = sequences
        self._boxes = np.array([sequence.boxes[0] for sequence in sequences])
        if len(np.unique(self._boxes, axis=0)) < 2:
            raise ValueError("a foreign template needs two sequences or more whose first boxes differ")
        self._numbers = {sequence.name: number for number, sequence in enumerate(sequences)}

    def __call__(self, sequence: Sequence) -> tuple[Location, np.ndarray]:
        start = self._numbers[sequence.name]
        differs = (self._boxes != self._boxes[start]).any(axis=1)
        donor = next(self._sequences[i] for i in (*range(start, len(differs)), *range(start)) if differs[i])
        return donor.frames[0], donor.boxes[0]
