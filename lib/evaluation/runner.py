"""Tracks the sequences of a benchmark, in this process or in several, and loses no more than the one that fails."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from time import perf_counter
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from lib.data.images import read_image
from lib.data.types import Sequence
from lib.evaluation.baselines import FrameTracker
from lib.evaluation.results import ResultsFolder, Track

PATIENCE_SECONDS = 30

logger = logging.getLogger(__name__)

TrackerFactory = Callable[[int], FrameTracker]


class RunError(ValueError):
    """A run that cannot go on because one of its processes could not build the tracker."""


class Failure(NamedTuple):
    """Why a sequence, or a process, gave no result: one line, and the whole traceback for the log."""

    reason: str
    traceback: str


class SequenceStatus(NamedTuple):
    """What became of one sequence: tracked now, kept from an earlier run of the same kind, or failed for ``reason``."""

    name: str
    status: Literal["tracked", "kept", "failed"]
    reason: str = ""


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
        return tuple(status for status in self.sequences if status.status == "failed")

    def text(self) -> str:
        """A few lines for the terminal: counts, speeds, and each failure."""
        counts = Counter(status.status for status in self.sequences)
        lines = [f"sequences: {counts['tracked']} tracked, {counts['kept']} kept, {counts['failed']} failed"]
        if self.end_to_end:
            together = self.end_to_end.frames / self.wall_seconds
            lines.append(f"end to end: {_speed_text(self.end_to_end)}")
            if self.network:
                lines.append(f"network:    {_speed_text(self.network)}")
            lines.append(f"{self.processes} process(es) together, start included: {together:.1f} frames/s")
        lines += [f"FAILED {status.name}: {status.reason}" for status in self.failed]
        return "\n".join(lines)


def run_benchmark(
    sequences: list[Sequence], make_tracker: TrackerFactory, folder: ResultsFolder, processes: int = 1
) -> RunSummary:
    """Track every sequence that is not finished in ``folder``, and write each there as soon as it is done.

    ``make_tracker(number)`` is called once in each process (numbered from 0, so that processes can share out devices),
    and must be picklable for more than one. A sequence that raises, or whose process dies, is reported in the summary,
    its traceback in the folder; the others go on. Raises what ``make_tracker`` raises if it fails (``RunError`` with
    several processes) and ``ResultsError`` if results cannot be written. After Ctrl-C, which passes through as
    ``KeyboardInterrupt``, the finished sequences are on disk.
    """
    started = perf_counter()
    kept = {sequence.name for sequence in sequences if folder.is_finished(sequence)}
    waiting = [sequence for sequence in sequences if sequence.name not in kept]
    processes = max(1, min(processes, len(waiting)))
    statuses = {name: SequenceStatus(name, "kept") for name in kept}
    tracks = []
    several = processes > 1
    run = _track_in_processes(waiting, make_tracker, processes) if several else _track_here(waiting, make_tracker)
    hidden = None if waiting else True  # None: on a terminal only
    bar = tqdm(total=sum(map(len, waiting)), unit="frame", smoothing=0, dynamic_ncols=True, disable=hidden)
    with bar, closing(run) as outcomes:
        bar.set_postfix_str(f"{len(kept)}/{len(sequences)} sequences")
        for sequence, outcome in outcomes:
            if isinstance(outcome, Failure):
                logger.error("sequence %s failed: %s", sequence.name, outcome.reason)
                folder.note_failure(sequence.name, *outcome)
                statuses[sequence.name] = SequenceStatus(sequence.name, "failed", outcome.reason)
            else:
                folder.write(sequence, outcome)
                tracks.append(outcome)
                statuses[sequence.name] = SequenceStatus(sequence.name, "tracked")
            bar.set_postfix_str(f"{len(statuses)}/{len(sequences)} sequences", refresh=False)
            bar.update(len(sequence))
    return RunSummary(
        sequences=tuple(statuses[sequence.name] for sequence in sequences),
        processes=processes,
        wall_seconds=perf_counter() - started,
        end_to_end=_speed([track.seconds for track in tracks]),
        network=_speed([track.network_seconds for track in tracks]),
    )


def track_sequence(tracker: FrameTracker, sequence: Sequence) -> Track:
    """Follow the target of a sequence from its first box on; raises what the tracker or an unreadable image raises."""
    if not sequence.frames:
        raise ValueError(f"sequence {sequence.name} has no frames")
    rows = []
    for number, path in enumerate(sequence.frames):
        started = perf_counter()
        image = read_image(path)
        if number == 0:
            tracker.init(image, sequence.boxes[0])
            box, score = np.array(sequence.boxes[0], dtype=np.float64), 1.0
        else:
            box, score = tracker.update(image)
        rows.append((*box, score, perf_counter() - started, tracker.network_seconds))
    table = np.array(rows, dtype=np.float64)
    return Track(boxes=table[:, :4], scores=table[:, 4], seconds=table[:, 5], network_seconds=table[:, 6])


Outcome = tuple[Sequence, Track | Failure]


def _track_here(sequences: list[Sequence], make_tracker: TrackerFactory) -> Iterator[Outcome]:
    if not sequences:
        return
    tracker = make_tracker(0)
    for sequence in sequences:
        yield sequence, _attempt(tracker, sequence)


def _attempt(tracker: FrameTracker, sequence: Sequence) -> Track | Failure:
    try:
        return track_sequence(tracker, sequence)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Failure:
    line = " ".join(str(error).split()) or "no message"
    reason = line if isinstance(error, ValueError) else f"{type(error).__name__}: {line}"
    return Failure(reason, "".join(traceback.format_exception(error)).rstrip())


class _Worker:
    """A process with its own tracker, which is handed one sequence at a time through a pipe.

    ``sequence`` is the one it works on; None while it builds its tracker.
    """

    def __init__(self, number: int, make_tracker: TrackerFactory, threads: int) -> None:
        self.number = number
        self.sequence: Sequence | None = None
        self.alive = True
        context = multiprocessing.get_context("spawn")
        self.connection, far_end = context.Pipe()
        self._process = context.Process(target=_work, args=(far_end, number, make_tracker, threads), daemon=True)
        # Ctrl-C reaches the whole process group, but the parent alone decides: a worker is born with it blocked.
        resource_tracker.ensure_running()  # it would lift the block if it started within
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        far_end.close()

    def hand(self, sequence: Sequence) -> None:
        """Give the worker its next sequence. If it has just died, reading its answer will tell."""
        self.sequence = sequence
        with suppress(OSError):
            self.connection.send(sequence)

    def answer(self) -> Track | Failure | None:
        """What came through the pipe: a result, or None for a tracker that has been built. A death is a ``Failure``."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.alive = False
            self._process.join(PATIENCE_SECONDS)
            reason = f"its process died with exit code {self._process.exitcode} (-9 is often a lack of memory)"
            return Failure(reason, "the process ended without a traceback")

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self._process.terminate()
        self._process.join(PATIENCE_SECONDS)


def _track_in_processes(sequences: list[Sequence], make_tracker: TrackerFactory, processes: int) -> Iterator[Outcome]:
    """Outcomes as they come. A worker that dies is replaced if sequences are still waiting."""
    waiting = deque(sequences)
    threads = max(1, torch.get_num_threads() // processes)
    workers: dict[Connection, _Worker] = {}

    def start(number: int) -> None:
        worker = _Worker(number, make_tracker, threads)
        workers[worker.connection] = worker

    try:
        for number in range(processes):
            start(number)
        while workers:
            for connection in wait(list(workers)):
                worker = workers[connection]
                answer = worker.answer()
                if worker.sequence is not None:
                    yield worker.sequence, answer
                elif isinstance(answer, Failure):
                    error = RunError(f"process {worker.number} could not build its tracker: {answer.reason}")
                    error.add_note(answer.traceback)
                    raise error
                if worker.alive and waiting:
                    worker.hand(waiting.popleft())
                    continue
                del workers[connection]
                worker.stop()
                if waiting:
                    start(worker.number)
    finally:
        for worker in workers.values():
            worker.stop()


def _work(connection: Connection, number: int, make_tracker: TrackerFactory, threads: int) -> None:
    """The worker's side: build the tracker once, then answer each sequence until the pipe closes."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    try:
        tracker = make_tracker(number)
    except Exception as error:
        connection.send(_failure(error))
        return
    connection.send(None)
    with suppress(EOFError):
        while True:
            connection.send(_attempt(tracker, connection.recv()))


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
