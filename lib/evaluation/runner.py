"""Tracks the sequences of a benchmark, together with other commands that were started on the same, and loses no more
than the one that fails."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from time import perf_counter, sleep
from types import MappingProxyType

import numpy as np

from lib.data.types import Sequence
from lib.evaluation.attempt import Failure, attempt, is_sound
from lib.evaluation.claims import Claim, Claims
from lib.evaluation.progress import RunProgress
from lib.evaluation.queue import SequenceStatus, WorkQueue
from lib.evaluation.results import ResultsFolder, Track
from lib.evaluation.workers import Outcome, RunError, TrackerFactory, Workers

LOOK_SECONDS = 1.0  # between two looks at what other commands are doing
NOTHING: Mapping[str, str] = MappingProxyType({})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speed:
    """Times of tracked frames, each sequence's first excluded: ``fps`` of one process, milliseconds a frame."""

    frames: int
    fps: float
    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class RunSummary:
    """What ``run_benchmark`` did.

    The speeds are of the sequences tracked now: ``end_to_end`` is reading, cropping, network and box, None if nothing
    was tracked; ``network`` the network alone, None if there is none. ``wall_seconds`` is the whole run, with the
    building of trackers.
    """

    sequences: tuple[SequenceStatus, ...]
    processes: int
    wall_seconds: float
    end_to_end: Speed | None
    network: Speed | None

    @property
    def failed(self) -> tuple[SequenceStatus, ...]:
        """The sequences without a result; a program that has any exits non-zero."""
        return self._with("failed")

    @property
    def elsewhere(self) -> tuple[SequenceStatus, ...]:
        """The sequences that other commands are tracking: the last of them to finish computes the score."""
        return self._with("elsewhere")

    def text(self) -> str:
        """Some lines for the terminal: counts, speeds, what others are tracking, and each failure."""
        counts = Counter(status.status for status in self.sequences)
        others = f", {counts['elsewhere']} in the hands of other commands" if self.elsewhere else ""
        lines = [f"sequences: {counts['tracked']} tracked, {counts['kept']} kept, {counts['failed']} failed{others}"]
        if self.end_to_end:
            together = self.end_to_end.frames / self.wall_seconds
            lines.append(f"end to end: {_speed_text(self.end_to_end)}")
            if self.network:
                lines.append(f"network:    {_speed_text(self.network)}")
            lines.append(f"{self.processes} process(es) together, start included: {together:.1f} frames/s")
        lines += [f"elsewhere {status.name}: {status.reason}" for status in self.elsewhere]
        lines += [f"FAILED {status.name}: {status.reason}" for status in self.failed]
        together_failed: dict[str, list[str]] = {}
        for status in self.failed:
            together_failed.setdefault(status.traceback, []).append(status.name)
        for traceback, names in together_failed.items():
            if traceback:
                lines += [f"of {', '.join(names)}:", *(f"    {line}" for line in traceback.splitlines())]
        return "\n".join(lines)

    def _with(self, word: str) -> tuple[SequenceStatus, ...]:
        return tuple(status for status in self.sequences if status.status == word)


def run_benchmark(
    sequences: list[Sequence],
    make_tracker: TrackerFactory,
    folder: ResultsFolder,
    processes: int = 0,
    unreadable: Mapping[str, str] = NOTHING,
    wait: bool = False,
) -> RunSummary:
    """Track every sequence that is not finished in ``folder``, and write each there as soon as it is done.

    Commands that run at once on the same folder, on one machine or on many, share the sequences: each is tracked by one
    of them. When none is left to take, this one ends and says which are still in the hands of others; with ``wait`` it
    waits until nobody has any. So it does after a failure, as launchers (torchrun, ``srun -K``) stop all commands when
    one ends badly.

    ``processes`` is how many track at a time; 0 does it in this process, where an error that kills it ends the run.
    ``make_tracker(number)`` is called once in each process and must be picklable for any but 0. The numbers are 0, 1,
    2 ... over all commands of this machine in this folder, so that processes can share out its devices. A sequence that
    raises, or whose process dies, is reported in the summary, its traceback in the folder; the others go on.
    ``unreadable`` are sequences that failed already when they were read: name and reason.

    Raises what ``make_tracker`` raises if it fails (``RunError`` with several processes), ``ResultsError`` or
    ``ClaimError`` if results cannot be written. After Ctrl-C, which passes through as ``KeyboardInterrupt``, the
    finished sequences are on disk, the others free for any command, and no process is left.
    """
    started = perf_counter()
    tracks: list[Track] = []
    told = False
    failed = [SequenceStatus(name, "failed", reason) for name, reason in unreadable.items()]
    for status in failed:
        folder.note_failure(status.name, status.reason, "the sequence cannot be read")
    with Claims(folder.path) as claims:
        # Long ones first: at the end no process should be left alone with one.
        queue = WorkQueue(sorted(sequences, key=len, reverse=True) if processes else sequences, folder, claims)
        waiting = queue.open
        processes = min(processes, len(waiting))
        numbers = _numbers(claims, max(1, processes)) if waiting else []
        with RunProgress(sum(map(len, waiting)), len(sequences) + len(failed), len(queue.statuses)) as progress:

            def show(frames: int) -> None:
                """So many frames of sequences that are not settled yet are done."""
                progress.show(queue.settled_frames + frames, queue.settled)

            while True:
                if processes:
                    run = _track_in_processes(queue.take, make_tracker, numbers, show)
                else:
                    run = _track_here(queue.take, make_tracker, numbers, show)
                with closing(run) as outcomes:
                    for sequence, outcome in outcomes:
                        if queue.settle(sequence, outcome).status == "tracked":
                            tracks.append(outcome)
                show(0)
                some_failed = any(status.status == "failed" for status in queue.statuses.values())
                if not queue.open or not (wait or some_failed):
                    break
                if not told:
                    names = ", ".join(sequence.name for sequence in queue.open)
                    logger.info("waiting for the sequences in the hands of other commands: %s", names)
                    told = True
                sleep(LOOK_SECONDS)
    return RunSummary(
        sequences=(*(queue.statuses[sequence.name] for sequence in sequences), *failed),
        processes=max(1, processes),
        wall_seconds=perf_counter() - started,
        end_to_end=_speed([track.seconds for track in tracks]),
        network=_speed([track.network_seconds for track in tracks]),
    )


def _numbers(claims: Claims, wanted: int) -> list[int]:
    """The lowest numbers that no process of this machine has."""
    numbers = []
    for number in count():
        if len(numbers) == wanted:
            return numbers
        if isinstance(claims.take(f"process-{number}-of-{socket.gethostname()}"), Claim):
            numbers.append(number)
    raise AssertionError("count() has no end")


Take = Callable[[], Sequence | None]
Show = Callable[[int], None]


def _track_here(take: Take, make_tracker: TrackerFactory, numbers: list[int], show: Show) -> Iterator[Outcome]:
    tracker = None
    while (sequence := take()) is not None:
        tracker = tracker or make_tracker(numbers[0])
        outcome = attempt(tracker, sequence, show)
        yield sequence, outcome
        if isinstance(outcome, Failure) and not is_sound():
            raise RunError(
                f"sequence {sequence.name} left the GPU in a state in which this process cannot go on "
                f"({outcome.reason}); track in processes of their own"
            )


def _track_in_processes(take: Take, make_tracker: TrackerFactory, numbers: list[int], show: Show) -> Iterator[Outcome]:
    workers = Workers(make_tracker, numbers)
    with closing(workers.run(take)) as outcomes:
        for outcome in outcomes:
            if outcome is not None:
                yield outcome
            show(workers.frames)


def _speed(seconds: list[np.ndarray]) -> Speed | None:
    """Over the frames after each sequence's first; None if they took no time."""
    tracked = np.concatenate([column[1:] for column in seconds]) if seconds else np.empty(0)
    total = float(tracked.sum())
    if total == 0:
        return None
    median, p95 = np.percentile(tracked, (50, 95)) * 1000
    return Speed(len(tracked), len(tracked) / total, float(median), float(p95))


def _speed_text(speed: Speed) -> str:
    times = f"median {speed.median_ms:.1f} ms, p95 {speed.p95_ms:.1f} ms"
    return f"{speed.fps:.1f} frames/s, {times} ({speed.frames} frames)"
