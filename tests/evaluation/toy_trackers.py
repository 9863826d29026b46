"""Trackers that processes can be started with."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.evaluation.baselines import FrameTracker
from lib.inference.tracker import TrackResult


class DriftingTracker:
    """Moves the first box by the image's mean, so that its answer depends on both; ends its process at x = 66,
    takes its time where x is above 70, and at x = 68 waits until another process was refused its tracker."""

    network_seconds = 0.001
    folder: Path

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        if box[0] == 66:
            os._exit(7)
        while box[0] == 68 and not list(self.folder.glob("refused-*")):
            time.sleep(0.05)
        self.box = np.array(box)

    def update(self, image: np.ndarray) -> TrackResult:
        if self.box[0] > 70:
            time.sleep(60)
        self.box = self.box + image.mean() / 1000
        return TrackResult(self.box, float(image.mean()))


@dataclass(frozen=True)
class CountedFactory:
    """Builds a ``DriftingTracker`` and leaves a file for each; raises where the number is ``refuses``, and with
    ``once`` for a number that it had before; its process is killed where the number is ``dies``."""

    folder: Path
    refuses: int | None = None
    once: bool = False
    dies: int | None = None

    def __call__(self, number: int) -> FrameTracker:
        if number == self.refuses:
            raise ValueError("weights.pth: no such checkpoint")
        if number == self.dies:
            (self.folder / f"refused-{number}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.once and list(self.folder.glob(f"built-{number}-*")):
            (self.folder / f"refused-{number}").touch()
            raise ValueError("out of luck")
        (self.folder / f"built-{number}-{os.getpid()}").touch()
        tracker = DriftingTracker()
        tracker.folder = self.folder
        return tracker


class AccidentTracker(DriftingTracker):
    """As its parent, but at the third frame of a sequence whose first box has this height, it

    * 3: is killed without warning, as by a system short of memory;
    * 4: reads where there is no memory;
    * 6: asks Python to exit;
    * 7: hangs;
    * 8: raises;
    * 9: takes a moment.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number

    def init(self, image: np.ndarray, box: np.ndarray) -> None:
        super().init(image, box)
        self.frame = 1
        with (self.folder / f"process-{os.getpid()}").open("a") as file:
            file.write(f"{self.number} {box[0]:.0f}\n")

    def update(self, image: np.ndarray) -> TrackResult:
        self.frame += 1
        accident = int(self.box[3]) if self.frame == 3 else 0
        if accident == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        elif accident == 4:
            ctypes.string_at(0)
        elif accident == 6:
            sys.exit("enough")
        elif accident == 7:
            time.sleep(60)
        elif accident == 8:
            raise RuntimeError("two\nlines")
        elif accident == 9:
            time.sleep(0.3)
        return super().update(image)


@dataclass(frozen=True)
class AccidentFactory:
    """Builds an ``AccidentTracker``; each leaves in a file of its process which number it has and which sequences, by
    the x of their first box, it began."""

    folder: Path

    def __call__(self, number: int) -> FrameTracker:
        return AccidentTracker(self.folder, number)
