"""The tracking of a page's video: its thread, its results so far, its files, and the maps of a tracked frame."""

import logging
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from threading import Event, Thread
from time import perf_counter
from typing import Any

import numpy as np

from lib.inference.engine import failure_of
from lib.inference.follow import Step, TargetSpec
from lib.inference.network import Network
from lib.inference.tracker import Tracker
from lib.programs.demo.trackers import Trackers
from lib.programs.demo.videos import SOURCE, Video
from lib.programs.tracking import TABLE, TRACKS, VIDEO, Wanted, written_steps
from lib.runtime.escapes import printable
from lib.visualization.sheet import data_address, encode
from lib.visualization.token_map import draw_token_map

JOB_FILES = (VIDEO, TRACKS, TABLE)

logger = logging.getLogger(__name__)


class Job(Thread):
    """A thread that tracks ``targets`` through ``video`` with the tracker of a ``number``; its files are whole when it
    has ended.

    ``rows`` grow while it runs: for each frame ``[number, time, [[x, y, w, h, score, lost], ...]]``, the time in
    seconds and a list for each target with its box in pixels. ``latest`` is the newest frame's row number and image;
    ``speed`` is in frames a second. ``state`` is "opening", "tracking", then "done", "stopped" or "failed";
    ``message`` is the reason of the last, or a remark in one line.
    """

    def __init__(self, video: Video, targets: Sequence[TargetSpec], trackers: Trackers, number: int) -> None:
        super().__init__(name="track", daemon=True)
        self.video, self.targets = video, list(targets)
        self.rows: list[list[Any]] = []
        self.latest: tuple[int, np.ndarray] | None = None
        self.state, self.message, self.length = "opening", "", video.length
        self.speed: float | None = None
        self.network: Network | None = None
        self.has_maps = False  # whether the network gives more than its best box
        self._trackers, self._number, self._stop_request = trackers, number, Event()

    def stop(self) -> None:
        """Let it end after the current frame, with whole files."""
        self._stop_request.set()

    def draw_maps(self, number: int) -> list[dict[str, Any]]:
        """The maps of each target in row ``number`` for the page: ``target``, ``name``, ``score`` and ``picture``, the
        data address of a PNG. The network looks at the frame once more, as it did while it tracked.

        Raises ``ValueError`` in the first frame, in one that was not tracked, and for an exported network.
        """
        if self.network is None or not self.has_maps:
            raise ValueError(
                "this tracker is an exported network, which gives its best box alone; choose another to draw its maps"
            )
        if not 1 <= number < len(self.rows):
            raise ValueError(f"frame {number} has no maps: frames 1 to {len(self.rows) - 1} were searched")
        from lib.inference.decisions import decide_at  # it imports torch, which takes seconds

        with self.video.open() as reader:
            first = reader.first.image
            image = next(islice(reader, self.rows[number][0], None)).image
        tracker, drawn = Tracker(self.network), []
        for target, before in zip(self.targets, self.rows[number - 1][2], strict=True):
            result, maps = decide_at(tracker, first, target.box, image, before[:4])
            for name, (values, stages, meaning) in maps.items():
                picture = data_address(encode(draw_token_map(result.crop, values[0].numpy(), stages, meaning)), "png")
                drawn.append({"target": target.name, "name": name, "score": float(result.score), "picture": picture})
        return drawn

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

    def run(self) -> None:
        """The body of the thread."""
        try:
            self.network = self._trackers.open(self._number)
            if not self._stop_request.is_set():
                self.state = "tracking"
                self._track(self.network)
            self.state = "stopped" if self._stop_request.is_set() else "done"
        except Exception as error:  # for the page, which waits
            failure = failure_of(error)
            self.state, self.message = "failed", printable(failure.reason)
            if not failure.explained:
                logger.error("%s", failure.traceback)

    def _track(self, network: Network) -> None:
        video, started = self.video, perf_counter()
        wanted, sound = Wanted(video.folder), video.folder / SOURCE
        with (
            video.open() as reader,
            closing(written_steps(reader, self.targets, network, wanted, sound)) as steps,
        ):
            for step in steps:
                self._keep(step)
                self.speed = len(self.rows) / (perf_counter() - started)
                if self._stop_request.is_set():
                    break
            else:
                self.message = printable(reader.shortfall)
        self._trackers.speeds[self._number] = self.speed = len(self.rows) / (perf_counter() - started)
        self.length = len(self.rows)

    def _keep(self, step: Step) -> None:
        results = step.results.values()
        boxes = [[*result.box.tolist(), float(result.score), int(result.lost)] for result in results]
        self.rows.append([step.number, step.time, boxes])
        self.has_maps = self.has_maps or any(result.prediction is not None for result in results)
        self.latest = len(self.rows) - 1, step.image
