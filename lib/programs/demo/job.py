"""The tracking of a page's video: its thread, its results so far, and its files."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from threading import Event, Thread
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lib.inference.follow import Step, TargetSpec
from lib.inference.network import Network
from lib.programs.demo.videos import SOURCE, Video
from lib.programs.tracking import TABLE, TRACKS, VIDEO, Wanted, written_steps
from lib.runtime.escapes import printable

FILES = (VIDEO, TRACKS, TABLE)
RECENT = 30  # frames of the mean speed that is shown

T = TypeVar("T")


class Row(NamedTuple):
    """A tracked frame: ``number``, ``time`` in seconds, and for each target its box float64 ``[4]`` xywh in pixels, its
    score and whether it is lost."""

    number: int
    time: float
    boxes: list[np.ndarray]
    scores: list[float]
    lost: list[bool]

    def as_list(self) -> list[Any]:
        """``[number, time, [[x, y, w, h, score, lost], ...]]``, rounded for a page."""
        results = [
            [*(round(float(side), 2) for side in box), round(score, 4), int(lost)]
            for box, score, lost in zip(self.boxes, self.scores, self.lost, strict=True)
        ]
        return [self.number, round(self.time, 6), results]


class Job:
    """Tracks ``targets`` through ``video`` in a thread, with the network that ``opening`` gives.

    ``rows`` grow while it runs; ``latest`` is the newest frame's row number and image. ``state`` is "opening",
    "tracking", then "done", "stopped" or "failed"; ``message`` is the reason of the last, or a remark in one line.
    """

    def __init__(self, video: Video, targets: Sequence[TargetSpec], opening: Callable[[], Network]) -> None:
        self.video, self.targets = video, list(targets)
        self.rows: list[Row] = []
        self.latest: tuple[int, np.ndarray] | None = None
        self.state, self.message, self.length = "opening", "", video.length
        self.network: Network | None = None
        self.has_maps = False  # whether the network gives more than its best box
        self._opening = opening
        self._stop, self._ended = Event(), Event()
        self._clock: deque[float] = deque(maxlen=RECENT)
        self._seconds = 0.0

    def start(self, then: "Callable[[Job], object]") -> None:
        """Begin; ``then`` is called at the end, in the thread."""

        def run() -> None:
            try:
                self._run()
            finally:
                then(self)
                self._ended.set()

        Thread(target=run, name="track", daemon=True).start()

    def stop(self) -> None:
        """Ask for its end after the current frame, with whole files."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has ended, after at most so many seconds."""
        return self._ended.wait(seconds)

    @property
    def ended(self) -> bool:
        """Whether its files are whole and nothing follows."""
        return self._ended.is_set()

    @property
    def speed(self) -> float | None:
        """Frames a second: of the newest frames while it runs, of all of them afterwards."""
        if self._seconds:
            return len(self.rows) / self._seconds
        clock = list(self._clock)
        return (len(clock) - 1) / (clock[-1] - clock[0]) if len(clock) > 1 else None

    def progress(self) -> dict[str, Any]:
        """What a page shows beside the boxes."""
        return {
            "state": self.state,
            "message": self.message,
            "count": len(self.rows),
            "length": self.length,
            "speed": self.speed,
            "maps": self.has_maps,
        }

    def _run(self) -> None:
        try:
            self.network = self._opening()
            if self._stop.is_set():
                self.state = "stopped"
                return
            self.state = "tracking"
            whole = self._track(self.network)
            self.state = "done" if whole else "stopped"
        except (ValueError, OSError) as error:
            self.state, self.message = "failed", printable(str(error).splitlines()[0])
        except BaseException as error:
            # A page that waits learns of it; the log has the traceback.
            self.state, self.message = "failed", f"{type(error).__name__}: {printable(str(error))}"
            raise

    def _track(self, network: Network) -> bool:
        video, started = self.video, perf_counter()
        wanted, sound = Wanted(video.folder), video.folder / SOURCE
        with (
            video.open() as reader,
            closing(written_steps(reader, self.targets, network, wanted, sound)) as steps,
        ):
            for step in steps:
                self._keep(step)
                if self._stop.is_set():
                    break
            else:
                self.message = printable(reader.shortfall)
            whole = not self._stop.is_set()
        self._seconds = perf_counter() - started
        self.length = len(self.rows)
        return whole

    def _keep(self, step: Step) -> None:
        results = step.results.values()
        self.rows.append(
            Row(
                step.number,
                step.time,
                [result.box for result in results],
                [float(result.score) for result in results],
                [bool(result.lost) for result in results],
            )
        )
        self.has_maps = self.has_maps or any(result.prediction is not None for result in results)
        self.latest = len(self.rows) - 1, step.image
        self._clock.append(perf_counter())


def in_thread(function: Callable[..., T], *arguments: Any) -> Future[T]:
    """The call's future answer, from a thread that does not keep the program from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
