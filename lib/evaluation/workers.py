"""Processes that track sequences, each with its own network; one that dies or hangs is replaced and loses its own."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic, sleep

import cv2
import torch

from lib.data.types import Sequence
from lib.evaluation.attempt import Failure, attempt, failure_of, is_sound
from lib.evaluation.baselines import FrameTracker
from lib.evaluation.results import Track
from lib.runtime.allocator import keep_large_buffers

PATIENCE_SECONDS = 30
TICK_SECONDS = 0.5
# No frame takes so long, a compiler's first included: the process hangs.
HANGING_SECONDS = 900.0

logger = logging.getLogger(__name__)

TrackerFactory = Callable[[int], FrameTracker]
Outcome = tuple[Sequence, Track | Failure]


class RunError(ValueError):
    """A run that cannot go on because no process is left that can build the tracker or use its GPU."""


class Workers:
    """Processes that share sequences: one for each of ``numbers``, which ``make_tracker`` gets, started as needed."""

    def __init__(self, make_tracker: TrackerFactory, numbers: Many[int]) -> None:
        self._make_tracker = make_tracker
        self._numbers = numbers
        self._threads = max(1, torch.get_num_threads() // len(numbers))
        self._workers: dict[Connection, _Worker] = {}

    @property
    def frames(self) -> int:
        """How many frames of the sequences being tracked are done."""
        return sum(worker.frame for worker in self._workers.values())

    def run(self, take: Callable[[], Sequence | None]) -> Iterator[Outcome | None]:
        """Outcomes as they come, None at least every ``TICK_SECONDS``, until ``take`` gives None and all are done.

        Raises ``RunError`` where a tracker cannot be built because of a user's mistake, which all would share. A worker
        that dies before it has one, or cannot replace another, is done without as long as others are left.
        """
        spare: list[Sequence] = []

        def draw() -> Sequence | None:
            return spare.pop() if spare else take()

        with tempfile.TemporaryDirectory(prefix="tracking-") as folder:
            try:
                for number in self._numbers:
                    if (sequence := draw()) is not None:
                        self._start(number, sequence, Path(folder))
                while self._workers:
                    answering = wait(list(self._workers), TICK_SECONDS)
                    for worker in [w for c, w in self._workers.items() if c in answering or w.hangs()]:
                        if worker.connection not in self._workers:
                            continue  # another has just taken its sequence
                        answer = worker.answer() if worker.connection in answering else worker.give_up()
                        if worker.building:
                            if isinstance(answer, Failure):
                                self._end(worker)
                                if not self._workers or (answer.explained and not worker.replaces):
                                    raise _cannot_build(worker, answer)
                                logger.error("%s; the others go on without it", _cannot_build(worker, answer))
                                spare.append(worker.sequence)
                            else:
                                worker.track(worker.sequence)
                            continue
                        yield worker.sequence, answer
                        following = draw()
                        if following is None and worker.usable:
                            following = self._relieve()
                        if following is not None and worker.usable:
                            worker.track(following)
                            continue
                        self._end(worker)
                        if following is not None:
                            self._start(worker.number, following, Path(folder), replaces=True)
                    yield None
            finally:
                for worker in list(self._workers.values()):
                    self._end(worker)

    def _start(self, number: int, sequence: Sequence, folder: Path, replaces: bool = False) -> None:
        worker = _Worker(number, sequence, self._make_tracker, self._threads, folder, replaces)
        self._workers[worker.connection] = worker  # before it starts: Ctrl-C may come at any moment
        worker.start()

    def _relieve(self) -> Sequence | None:
        """The sequence of a worker that is not ready to begin with it, and is not needed then."""
        worker = next((worker for worker in self._workers.values() if worker.building), None)
        if worker is None:
            return None
        self._end(worker)
        return worker.sequence

    def _end(self, worker: _Worker) -> None:
        del self._workers[worker.connection]
        worker.end()


class _Worker:
    """A process with its own tracker, which is handed one sequence at a time through a pipe: while it is ``building``
    its tracker, the one that it begins with."""

    def __init__(
        self,
        number: int,
        sequence: Sequence,
        make_tracker: TrackerFactory,
        threads: int,
        folder: Path,
        replaces: bool,
    ) -> None:
        self.number, self.sequence, self.replaces = number, sequence, replaces
        self.building = self.usable = True
        context = multiprocessing.get_context("spawn")
        self.connection, self._far_end = context.Pipe()
        self._frame = context.RawValue(ctypes.c_int64, 0)
        self._seen, self._seen_at = 0, monotonic()
        self._fatal = folder / f"fatal-{number}"
        work = (self._far_end, number, make_tracker, threads, self._frame, str(self._fatal))
        self._process = context.Process(target=_work, args=work, daemon=True)

    def start(self) -> None:
        """Start the process.

        Ctrl-C reaches the whole process group, and a scheduler's SIGTERM every process, but the parent alone decides: a
        worker is born with both blocked.
        """
        resource_tracker.ensure_running()  # it would lift the block if it started within
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        self._far_end.close()

    @property
    def frame(self) -> int:
        """Number of the frame that it is at, from 0."""
        return self._frame.value

    def track(self, sequence: Sequence) -> None:
        """Give the worker a sequence. If it has just died, reading its answer will tell."""
        self.building = False
        self.sequence = sequence
        self._frame.value = 0
        self._seen, self._seen_at = 0, monotonic()
        with suppress(OSError):
            self.connection.send(sequence)

    def answer(self) -> Track | Failure | None:
        """What came through the pipe: a result, or None for a tracker that has been built. A death is a ``Failure``."""
        try:
            answer, self.usable = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(PATIENCE_SECONDS)
            return self._failure(f"its process {_ending(self._process.exitcode)}")
        return answer

    def hangs(self) -> bool:
        """Whether the worker has been at the same frame for ``HANGING_SECONDS``."""
        if self.building or self.frame != self._seen:
            self._seen, self._seen_at = self.frame, monotonic()
        return monotonic() - self._seen_at > HANGING_SECONDS

    def give_up(self) -> Failure:
        """End a worker that hangs; the traceback shows where it was."""
        os.kill(self._process.pid, signal.SIGUSR1)
        sleep(0.2)
        self._process.kill()
        self._process.join(PATIENCE_SECONDS)
        return self._failure(f"its process was ended after {HANGING_SECONDS:.0f} s without a sign of life")

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        if self._process.pid is not None:
            self._process.kill()
            self._process.join(PATIENCE_SECONDS)

    def _failure(self, what: str) -> Failure:
        self.usable = False
        if not self.building and self.sequence.frames:
            what += f" at frame {self.frame + 1} of {len(self.sequence)} ({self.sequence.frames[self.frame]})"
        text = self._fatal.read_text(errors="replace").strip() if self._fatal.exists() else ""
        explained = not (text or self.building)  # nothing more is known
        return Failure(what, text or "the process ended without a traceback", explained)


def _cannot_build(worker: _Worker, failure: Failure) -> RunError:
    error = RunError(f"process {worker.number} could not build its tracker: {failure.reason}")
    error.add_note(failure.traceback)
    return error


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    hint = " (often a lack of memory)" if code == -signal.SIGKILL else ""
    try:
        return f"was killed by {signal.Signals(-code).name}{hint}"
    except ValueError:
        return f"was killed by signal {-code}"


def _work(
    connection: Connection, number: int, make_tracker: TrackerFactory, threads: int, frame: ctypes.c_int64, fatal: str
) -> None:
    """The worker's side: build the tracker once, then answer each sequence until the pipe closes.

    What is answered goes with whether this process can take another one.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_large_buffers()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)

    def begin(number: int) -> None:
        frame.value = number

    with open(fatal, "w", encoding="utf-8") as file:
        faulthandler.enable(file)
        faulthandler.register(signal.SIGUSR1, file)
        try:
            tracker = make_tracker(number)
        except (Exception, SystemExit) as error:
            connection.send((failure_of(error), False))
            return
        connection.send((None, True))
        with suppress(EOFError, BrokenPipeError, ConnectionResetError):
            while True:
                outcome = attempt(tracker, connection.recv(), begin)
                sound = not isinstance(outcome, Failure) or is_sound()
                connection.send((outcome, sound))
                if not sound:
                    return


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers: they see to it themselves."""
    multiprocessing.parent_process().join()
    os._exit(1)
