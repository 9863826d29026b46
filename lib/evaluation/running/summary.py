"""The outcome of each sequence of a run and the speed of tracking, as text for the terminal."""

from collections import Counter
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


class RunSummary(NamedTuple):
    """The sequences of a benchmark after a run, and the seconds of the frames tracked now, without each sequence's
    first: end to end (reading, cropping, network and box), and of the network alone; zeros where nothing is measured.
    """

    sequences: list[SequenceStatus]
    seconds: np.ndarray
    network_seconds: np.ndarray

    @property
    def failed(self) -> list[SequenceStatus]:
        """The sequences without a result; with any, the program exits non-zero."""
        return [status for status in self.sequences if status.status == "failed"]

    @property
    def elsewhere(self) -> list[SequenceStatus]:
        """The sequences that other commands are tracking; the command that finishes last computes the score."""
        return [status for status in self.sequences if status.status == "elsewhere"]

    def text(self) -> str:
        """Lines for the terminal: counts, speeds, the sequences of other commands, and each failure."""
        counts = Counter(status.status for status in self.sequences)
        others = f", {counts['elsewhere']} tracked by other commands" if self.elsewhere else ""
        lines = [f"sequences: {counts['tracked']} tracked, {counts['kept']} kept, {counts['failed']} failed{others}"]
        for title, seconds in (("end to end:", self.seconds), ("network:   ", self.network_seconds)):
            if seconds.any():
                median, p95 = np.percentile(seconds, (50, 95)) * 1000
                times = f"median {median:.1f} ms, p95 {p95:.1f} ms"
                lines.append(f"{title} {1 / seconds.mean():.1f} frames/s, {times} ({len(seconds)} frames)")
        lines += [f"elsewhere {status.name}: {status.reason}" for status in self.elsewhere]
        lines += [f"FAILED {status.name}: {status.reason}" for status in self.failed]
        together: dict[str, list[str]] = {}
        for status in self.failed:
            together.setdefault(status.traceback, []).append(status.name)
        for traceback, names in together.items():
            if traceback:
                lines += [f"of {', '.join(names)}:", *(f"    {line}" for line in traceback.splitlines())]
        return printable_lines(lines)
