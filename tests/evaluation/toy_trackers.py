"""Trackers that processes can be started with."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.data.types import TrackResult
from lib.evaluation.baselines import FrameTracker


class DriftingTracker:
    """Moves the first box by the image's mean, so that its answer depends on both; ends its process at x = 66, and
    takes its time where x is above 70."""

    network_seconds = 0.001

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        if box[0] == 66:
            os._exit(7)
        self.box = np.array(box)

    def update(self, image: np.ndarray) -> TrackResult:
        if self.box[0] > 70:
            time.sleep(60)
        self.box = self.box + image.mean() / 1000
        return TrackResult(self.box, float(image.mean()))


@dataclass(frozen=True)
class CountedFactory:
    """Builds a ``DriftingTracker`` and leaves a file for each; raises where the number is ``refuses``."""

    folder: Path
    refuses: int | None = None

    def __call__(self, number: int) -> FrameTracker:
        if number == self.refuses:
            raise ValueError("weights.pth: no such checkpoint")
        (self.folder / f"built-{number}-{os.getpid()}").touch()
        return DriftingTracker()
