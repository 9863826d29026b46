"""The outcome of each sequence of a run and the speed of tracking, as text for the terminal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from lib.runtime.escapes import printable_lines


class SequenceStatus(NamedTuple):
    """The outcome of one sequence: tracked now, kept (finished before, or by another command meanwhile), failed for
    ``reason``, or elsewhere: the process that ``reason`` names is tracking it.

    ``traceback`` is given for a failure whose reason does not explain it.
    """

    name: str
    status: Literal["tracked", "kept", "failed", "elsewhere"]
    reason: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class Speed:
    """Times of tracked frames, each sequence's first excluded: ``fps`` of one process, milliseconds a frame."""

    frames: int
    fps: float
    median_ms: float
    p95_ms: float

    def __str__(self) -> str:
        times = f"median {self.median_ms:.1f} ms, p95 {self.p95_ms:.1f} ms"
        return f"{self.fps:.1f} frames/s, {times} ({self.frames} frames)"


@dataclass(frozen=True)
class RunSummary:
    """The sequences of a benchmark after a run.

    The speeds cover the sequences tracked now: ``end_to_end`` is reading, cropping, network and box, None if nothing
    was tracked; ``network`` is the network alone, None without one.
    """

    sequences: tuple[SequenceStatus, ...]
    end_to_end: Speed | None
    network: Speed | None

    @property
    def failed(self) -> tuple[SequenceStatus, ...]:
        """The sequences without a result; with any, the program exits non-zero."""
        return self._having("failed")

    @property
    def elsewhere(self) -> tuple[SequenceStatus, ...]:
        """The sequences that other commands are tracking; the command that finishes last computes the score."""
        return self._having("elsewhere")

    def text(self) -> str:
        """Lines for the terminal: counts, speeds, the sequences of other commands, and each failure."""
        counts = Counter(status.status for status in self.sequences)
        others = f", {counts['elsewhere']} tracked by other commands" if self.elsewhere else ""
        lines = [f"sequences: {counts['tracked']} tracked, {counts['kept']} kept, {counts['failed']} failed{others}"]
        lines += [f"end to end: {self.end_to_end}"] if self.end_to_end else []
        lines += [f"network:    {self.network}"] if self.network else []
        lines += [f"elsewhere {status.name}: {status.reason}" for status in self.elsewhere]
        lines += [f"FAILED {status.name}: {status.reason}" for status in self.failed]
        together: dict[str, list[str]] = {}
        for status in self.failed:
            together.setdefault(status.traceback, []).append(status.name)
        for traceback, names in together.items():
            if traceback:
                lines += [f"of {', '.join(names)}:", *(f"    {line}" for line in traceback.splitlines())]
        return printable_lines(lines)

    def _having(self, word: str) -> tuple[SequenceStatus, ...]:
        return tuple(status for status in self.sequences if status.status == word)


def measure_speed(seconds: Iterable[np.ndarray]) -> Speed | None:
    """The speed over the frames after each sequence's first; None if they took no time."""
    tracked = np.concatenate([np.empty(0), *(column[1:] for column in seconds)])
    total = float(tracked.sum())
    if total == 0:
        return None
    median, p95 = np.percentile(tracked, (50, 95)) * 1000
    return Speed(len(tracked), len(tracked) / total, float(median), float(p95))
