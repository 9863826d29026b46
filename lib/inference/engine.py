"""Engine: look, find and place for batches of targets, each in its own video.

A batch has a row for each target. A row gets the next sequence as soon as its own ends. There is one batch more than
the network works on at a time: threads read, decode and cut its next frames meanwhile.
"""

import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock, Semaphore
from time import perf_counter
from typing import Any, NamedTuple

import cv2
import numpy as np

from lib.data.decoding.images import open_image
from lib.data.types import Location, Sequence
from lib.inference.network import Network, put
from lib.inference.target import FirstView, Target, View, begin, keep, look, place
from lib.runtime.machine import usable_cores

MOST_THREADS = 16


@dataclass(frozen=True, eq=False)
class Track:
    """A tracked sequence of N frames, the first included.

    ``boxes`` float64 ``[N, 4]`` xywh in pixels, the first as given; ``scores`` ``[N]``, the first 1. ``seconds``
    ``[N]`` are a frame's share of the time that passed, end to end (reading, cropping, network, box), with the first
    for taking the template; ``network_seconds`` ``[N]`` its share of the network's time. Where B sequences are tracked
    in one batch, the share is the batch's time divided by B.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    network_seconds: np.ndarray


class Failure(NamedTuple):
    """Why a sequence or a process gave no result: a ``reason`` in one line, and the ``traceback`` for the log.

    ``explained``: the line is enough, since the data or the settings are wrong, or nothing more is known.
    """

    reason: str
    traceback: str
    explained: bool = False


Outcome = tuple[Sequence, Track | Failure]
Take = Callable[[], Sequence | None]
# The frame and the box, xywh in pixels, from which a sequence's template is cut.
TemplateOf = Callable[[Sequence], tuple[Location, np.ndarray]]


class Engine:
    """Tracks sequences with ``network``, ``slots`` in a batch (the network's own number if its batch is fixed).

    * ``finders``: batches in the network at a time, each in its own thread. One keeps a GPU busy; on a CPU, one for
      each core is faster than one on all cores.
    * ``most``: sequences to track in all; batches get no more slots than these need.
    * ``threads`` that look at frames; by default one for each core, 16 at most.
    * ``template_of``: for a baseline, which shows the network another target than the sequence's own.

    With one slot, boxes and scores equal those of ``Tracker`` to the bit. In larger batches matrix products may be
    summed in another order; docs/testing.md has the measured bound.
    """

    def __init__(
        self,
        network: Network,
        slots: int = 1,
        finders: int = 1,
        most: int | None = None,
        threads: int | None = None,
        template_of: TemplateOf | None = None,
    ) -> None:
        assert slots > 0 and finders > 0, (slots, finders)
        self.network = network
        self.finders = finders
        if most is not None:
            slots = max(1, min(slots, -(-most // (finders + 1))))
        self.slots = network.batch or slots
        self._threads = threads or min(usable_cores(), MOST_THREADS)
        self._template_of = template_of

    def run(self, take: Take, show: Callable[[int], None] = lambda frames: None) -> Iterator[Outcome]:
        """Each sequence from ``take`` with its track or the reason why there is none, in the order they end.

        ``take`` is called whenever a row is free, until it gives None. ``show`` is called with the number of frames
        done in the sequences that have not ended. An error of a frame or a first box ends that sequence; one of the
        network ends the run.
        """
        sequences, opencv_threads = iter(take, None), cv2.getNumThreads()
        with (
            ThreadPoolExecutor(self._threads, "look") as looking,
            ThreadPoolExecutor(self.finders + 1, "step") as stepping,
        ):
            clock, free = _Clock(), Semaphore(self.finders)
            batches = [_Batch(self, looking, free, clock) for _ in range(self.finders + 1)]
            try:
                cv2.setNumThreads(1)  # OpenCV's own threads would compete with the looking threads
                yield from self._fill(batches, sequences)
                steps = deque((batch, stepping.submit(batch.step)) for batch in batches if len(batch))
                while steps:
                    batch, step = steps.popleft()
                    yield from step.result()
                    yield from self._fill([batch], sequences)
                    if len(batch):
                        steps.append((batch, stepping.submit(batch.step)))
                    show(sum(batch.frames for batch in batches))
            finally:
                cv2.setNumThreads(opencv_threads)
                for pool in (looking, stepping):
                    pool.shutdown(cancel_futures=True)

    def _fill(self, batches: list["_Batch"], sequences: Iterator[Sequence]) -> Iterator[Outcome]:
        """Give sequences to batches that no thread works on, the emptiest first; the outcomes where there is nothing
        to track."""
        while len(emptiest := min(batches, key=len)) < self.slots and (sequence := next(sequences, None)) is not None:
            outcome = emptiest.begin(sequence, self._template_of)
            if outcome is not None:
                yield sequence, outcome


def failure_of(error: BaseException) -> Failure:
    """The failure of an exception; a ``ValueError`` explains itself."""
    line = " ".join(str(error).split()) or "no message"
    explained = isinstance(error, ValueError)
    reason = line if explained else f"{type(error).__name__}: {line}"
    return Failure(reason, "".join(traceback.format_exception(error)).rstrip(), explained)


class _Clock:
    """Time since the last call of ``lap``, from any thread; the frames tracked in it share it."""

    def __init__(self) -> None:
        self._last, self._lock = perf_counter(), Lock()

    def lap(self) -> float:
        """In seconds."""
        with self._lock:
            before, self._last = self._last, perf_counter()
            return self._last - before


@dataclass(eq=False)
class _Row:
    """A sequence that is being tracked, and the values of a ``Track`` for each of its frames that is done."""

    sequence: Sequence
    target: Target
    done: list[tuple[np.ndarray, float, float, float]]

    def track(self) -> Track | None:
        """All results; None while frames are left."""
        if len(self.done) < len(self.sequence):
            return None
        return Track(*(np.array(values) for values in zip(*self.done, strict=True)))


class _Batch:
    """Targets in one batch: row i of ``_rows`` has row i of the state. The place of one that ends goes to the last."""

    def __init__(self, engine: Engine, looking: Executor, free: Semaphore, clock: _Clock) -> None:
        self._network, self._slots, self._finders = engine.network, engine.slots, engine.finders
        self._looking, self._free, self._clock = looking, free, clock
        search = self._network.settings.search
        self._crops = np.zeros((self._slots, search.size, search.size, 3), dtype=search.dtype)
        self._state: tuple[Any, ...] = ()
        self._rows: list[_Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def frames(self) -> int:
        """How many frames of its sequences are done."""
        return sum(len(row.done) for row in self._rows)

    def begin(self, sequence: Sequence, template_of: TemplateOf | None) -> Track | Failure | None:
        """Give a row to a sequence; its outcome if there is nothing to track."""
        try:
            if not len(sequence):
                raise ValueError(f"sequence {sequence.name} has no frames")
            first = self._first_view(sequence.frames[0], sequence.boxes[0])
            shown = first if template_of is None else self._first_view(*template_of(sequence))
        except Exception as error:  # of this sequence alone, which is reported with its traceback
            return failure_of(error)
        started = perf_counter()
        state = self._network.encode(shown.view.pixels[None], shown.box[None])
        row = _Row(sequence, first.target, [(first.target.box, 1.0, self._clock.lap(), perf_counter() - started)])
        if track := row.track():
            return track
        self._state = put(self._state, len(self._rows), state, self._slots)
        self._rows.append(row)
        return None

    def step(self) -> list[Outcome]:
        """Track every target through its next frame; the sequences that end with it, each with its outcome."""
        looks = [self._looking.submit(self._look, row) for row in self._rows]
        for number, looked in enumerate(looks):
            if looked.exception() is None:
                self._crops[number] = looked.result().pixels
        with self._free:
            started = perf_counter()
            found = self._network.find(self._state, self._crops[: len(self._rows)])
            seconds = perf_counter() - started
        share, network_share = (time / len(self._rows) for time in (self._clock.lap(), seconds / self._finders))
        config = self._network.settings.tracker
        outcomes: list[Outcome] = []
        rows = list(self._rows)
        for row, looked, found_box, score in zip(rows, looks, found.boxes, found.scores.tolist(), strict=True):
            try:
                box = place(found_box, score, looked.result(), config)
                row.target = keep(row.target, box, score, config)
                row.done.append((row.target.box, score, share, network_share))
                outcome = row.track()
            except Exception as error:  # of this sequence alone, which is reported with its traceback
                outcome = failure_of(error)
            if outcome is not None:
                outcomes.append((row.sequence, outcome))
                self._remove(row)
        return outcomes

    def _first_view(self, frame: Location, box: np.ndarray) -> FirstView:
        return begin(open_image(frame), box, self._network.settings)

    def _look(self, row: _Row) -> View:
        return look(open_image(row.sequence.frames[len(row.done)]), row.target, self._network.settings.search)

    def _remove(self, row: _Row) -> None:
        """Free a row; the last one moves to its place."""
        number, last = self._rows.index(row), len(self._rows) - 1
        self._rows[number] = self._rows[last]
        self._rows.pop()
        if number < last:
            put(self._state, number, tuple(leaf[last:] for leaf in self._state), self._slots)
