"""An engine without a network, whose sequences may have accidents, and a command that runs it."""

import ctypes
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from lib.data.decoding.images import read_image
from lib.data.types import Sequence
from lib.evaluation.running.runner import run_trials
from lib.inference.engine import Outcome, Take, Track, failure_of
from lib.runtime.program import program
from lib.runtime.stop import terminated_like_interrupted


@dataclass(frozen=True)
class ToyEngine:
    """Moves the first box by the image's mean, so that its answer depends on both, for ``slots`` sequences at a time.

    At the third frame of a sequence whose first box has this height, it

    * 4: reads where there is no memory;
    * 5: yields a failure, as of an image that cannot be read;
    * 6: yields a failure that is not explained;
    * 7: takes its time;
    * 8: raises, as the network does;
    * 9: takes a moment.

    In ``folder`` each process leaves a file with the most sequences it was built for and those that it began.
    """

    folder: Path
    slots: int = 1

    def __call__(self, most: int) -> Self:
        self.note(f"most={most}")
        return self

    def note(self, word: str) -> None:
        """Leave a word in the file of this process."""
        with (self.folder / f"process-{os.getpid()}").open("a") as file:
            file.write(f"{word}\n")

    def run(self, take: Take, show: Callable[[int], None]) -> Iterator[Outcome]:
        """As ``Engine.run``."""
        running: dict[Sequence, list[tuple[np.ndarray, float]]] = {}
        while True:
            while len(running) < self.slots and (sequence := take()) is not None:
                self.note(sequence.name)
                running[sequence] = []
            if not running:
                return
            for sequence in list(running):
                rows = running[sequence]
                try:
                    mean = float(read_image(sequence.frames[len(rows)]).mean())
                    if len(rows) == 2:
                        accident(int(sequence.boxes[0, 3]))
                except (ValueError, KeyError) as error:
                    del running[sequence]
                    yield sequence, failure_of(error)
                    continue
                box, score = (rows[-1][0] + mean / 1000, mean) if rows else (np.array(sequence.boxes[0]), 1.0)
                rows.append((box, score))
                if len(rows) == len(sequence):
                    del running[sequence]
                    boxes, scores = (np.array(column) for column in zip(*rows, strict=True))
                    times = np.full(len(rows), 0.002)
                    yield sequence, Track(boxes, scores, times, times / 2)
            show(sum(map(len, running.values())))


def accident(kind: int) -> None:
    """The accident of a sequence, by the height of its first box."""
    if kind == 4:
        ctypes.string_at(0)
    elif kind == 5:
        raise ValueError("no image; unpack it again")
    elif kind == 6:
        raise KeyError("two\nlines")
    elif kind == 7:
        time.sleep(60)
    elif kind == 8:
        raise RuntimeError("two\nlines")
    elif kind == 9:
        time.sleep(0.1)


@program()
def main() -> int:
    """``toy_trackers.py JOB``: ``run_trials`` with the pickled words of the file JOB."""
    words = pickle.loads(Path(sys.argv[1]).read_bytes())
    with terminated_like_interrupted():
        report = run_trials(**words)
    print("\n".join(summary.text() for summary in report.summaries), report.text(), sep="\n")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    # The pickled engine is of this module by its name as tests import it.
    from tests.evaluation.toy_trackers import main as imported

    sys.exit(imported())
