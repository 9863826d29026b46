"""The tracking of a page's video: its thread, its results so far, and its files."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from threading import Event, Thread
from time import perf_counter
from typing import Any

import numpy as np

from lib.inference.follow import Step, TargetSpec
from lib.inference.network import Network
from lib.programs.demo.videos import SOURCE, Video
from lib.programs.tracking import TABLE, TRACKS, VIDEO, Wanted, written_steps
from lib.runtime.escapes import printable

FILES = (VIDEO, TRACKS, TABLE)
RECENT = 30  # frames of the mean speed that is shown


class Job:
    """Tracks ``targets`` through ``video`` in a thread, with the network that ``opening`` gives.

    ``rows`` grow while it runs: for each frame ``[number, time, [[x, y, w, h, score, lost], ...]]``, the time in
    seconds and a list for each target with its box in pixels. ``latest`` is the newest frame's row number and image.
    ``state`` is "opening", "tracking", then "done", "stopped" or "failed"; ``message`` is the reason of the last, or a
    remark in one line.
    """

    def __init__(self, video: Video, targets: Sequence[TargetSpec], opening: Callable[[], Network]) -> None:
        self.video, self.targets = video, list(targets)
        self.rows: list[list[Any]] = []
        self.latest: tuple[int, np.ndarray] | None = None
        self.state, self.message, self.length = "opening", "", video.length
        self.network: Network | None = None
        self.has_maps = False  # whether the network gives more than its best box
        self._opening = opening
        self._stop = Event()
        self._thread: Thread | None = None
        self._clock: deque[float] = deque(maxlen=RECENT)
        self._seconds = 0.0

    def start(self, then: "Callable[[Job], object]") -> None:
        """Begin; ``then`` is called at the end, in the thread."""

        def run() -> None:
            try:
                self._run()
            finally:
                then(self)

        self._thread = Thread(target=run, name="track", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let it end after the current frame, with whole files."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait for its end, at most so many seconds."""
        self._thread.join(seconds)

    @property
    def ended(self) -> bool:
        """Whether its files are whole and nothing follows."""
        return not self._thread.is_alive()

    @property
    def speed(self) -> float | None:
        """Frames a second: of the newest frames while it runs, of all of them afterwards."""
        if self._seconds:
            return len(self.rows) / self._seconds
        clock = list(self._clock)
        return (len(clock) - 1) / (clock[-1] - clock[0]) if len(clock) > 1 else None

    def progress(self) -> dict[str, Any]:
        """State, message, number of frames and speed, for the page."""
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
            # The page that waits shows it; the log has the traceback.
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
        boxes = [[*result.box.tolist(), float(result.score), int(result.lost)] for result in results]
        self.rows.append([step.number, step.time, boxes])
        self.has_maps = self.has_maps or any(result.prediction is not None for result in results)
        self.latest = len(self.rows) - 1, step.image
        self._clock.append(perf_counter())
