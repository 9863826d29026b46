"""How long a frame takes with several forms of a network, in turns within one process: alone and end to end."""

from __future__ import annotations

from collections import abc, defaultdict
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from lib.inference.eager import TorchNetwork
from lib.inference.network import Network
from lib.inference.target import Target, begin, look, place

WIDTH, HEIGHT = 1280, 720
TARGET = 160, 120  # pixels
TURN = 5  # frames of one form before the next has its turn: a drift of the machine's speed hits all alike
_SHOWN = 8  # frames, over and over


class Frame(NamedTuple):
    """An image uint8 ``[HEIGHT, WIDTH, 3]`` and the target's box in it, xywh in pixels."""

    image: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class Spread:
    """Milliseconds: the median, and what 95 % stay below."""

    median: float
    p95: float


@dataclass(frozen=True)
class FrameTimes:
    """Milliseconds a frame of a form of a network that takes ``batch`` targets at once: a batch's time over ``batch``.

    ``template``: the network on a first frame. ``find``: the network on a later one: transfer to the device,
    normalization, network, choice of the best box. ``whole``: that frame end to end: crop, ``find``, box; decoding is
    not in it. ``processor``: the processor's time of ``whole``, in all threads of the process.
    """

    form: str
    batch: int
    template: Spread
    find: Spread
    whole: Spread
    processor: Spread


@dataclass(frozen=True)
class StepTimes:
    """Milliseconds of all parts of a frame but the network itself, medians: cutting the crop, its transfer and
    normalization, the choice of a box with its transfer back, and the box's way into the image. ``clock``: "wall", or
    "processor" for the time of all threads of the process."""

    clock: str
    look: float
    normalize: float
    choose: float
    place: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.look + self.normalize + self.choose + self.place


class Lane:
    """A form of a network with ``batch`` targets, and the seconds it has taken.

    Targets are put back where they are before every frame: an untrained network would lose them, and the cost of a crop
    depends on its size.
    """

    def __init__(self, form: str, network: Network, batch: int) -> None:
        self.form, self.network, self.batch = form, network, batch
        self.state: tuple[Any, ...] = ()
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def encode(self, frames: abc.Sequence[Frame]) -> None:
        """Show the network the targets of the first ``batch`` frames."""
        firsts = [begin(frame.image, frame.box, self.network.settings) for frame in frames[: self.batch]]
        crops, boxes = np.stack([first.view.pixels for first in firsts]), np.stack([first.box for first in firsts])
        started = perf_counter()
        self.state = self.network.encode(crops, boxes)
        _finish(self.network.device)
        self.seconds["template"].append(perf_counter() - started)

    def step(self, frames: abc.Sequence[Frame]) -> None:
        """Find the targets of the first ``batch`` frames."""
        settings, shown = self.network.settings, frames[: self.batch]
        started, processor = perf_counter(), process_time()
        views = [look(frame.image, Target(frame.box, 0), settings.search) for frame in shown]
        crops = np.stack([view.pixels for view in views])
        looked = perf_counter()
        found = self.network.find(self.state, crops)  # numbers, so the device has done its work
        seconds = perf_counter() - looked
        for row, view in enumerate(views):
            place(found.boxes[row], float(found.scores[row]), view, settings.tracker)
        self.seconds["whole"].append(perf_counter() - started)
        self.seconds["processor"].append(process_time() - processor)
        self.seconds["find"].append(seconds)

    def times(self) -> FrameTimes:
        """What was measured."""
        return FrameTimes(
            self.form, self.batch, **{name: _spread(seconds, self.batch) for name, seconds in self.seconds.items()}
        )


def time_frames(lanes: abc.Sequence[Lane], frames: int, warmup: int) -> list[FrameTimes]:
    """The times of each of ``lanes``, which have turns of a few frames until each has had ``frames`` of them or more.

    ``warmup`` batches of each before that do not count; networks are compiled and graphs captured in the first.
    """
    scene = make_scene()
    for lane in lanes:
        for _ in range(warmup):
            lane.encode(_shown(scene, 0, lane.batch))
            lane.step(_shown(scene, 0, lane.batch))
        lane.seconds.clear()
    for first in range(0, frames, TURN):
        for lane in lanes:
            lane.encode(_shown(scene, first, lane.batch))
            for number in range(first, min(first + TURN, frames), lane.batch):
                lane.step(_shown(scene, number, lane.batch))
    return [lane.times() for lane in lanes]


@torch.inference_mode()
def time_step(network: TorchNetwork, frames: int, warmup: int) -> list[StepTimes]:
    """The parts of a frame of an eager network in fp32, one target at a time, each waited for, by both clocks."""
    lane, scene, graph = Lane("", network, 1), make_scene(), network.find_graph
    settings, device = network.settings, network.device
    lane.encode(scene)
    rounds = []

    def mark() -> tuple[float, float]:
        _finish(device)
        return perf_counter(), process_time()

    for number in range(warmup + frames):
        frame = scene[number % _SHOWN]
        marks = [mark()]
        view = look(frame.image, Target(frame.box, 0), settings.search)
        marks.append(mark())
        crops = graph.normalize(torch.from_numpy(view.pixels[None]).to(device))
        marks.append(mark())
        prediction = graph.model.locate(lane.state, crops)
        marks.append(mark())
        best = graph.choose(prediction).cpu().numpy()[0]
        marks.append(mark())
        place(best[:4], float(best[4]), view, settings.tracker)
        marks.append(mark())
        rounds.append(np.diff(marks, axis=0))
    cut, normalize, _, choose, placed = 1000 * np.median(rounds[warmup:], axis=0)
    parts = zip(cut, normalize, choose, placed, strict=True)
    return [StepTimes(clock, *map(float, each)) for clock, each in zip(("wall", "processor"), parts, strict=True)]


def make_scene() -> list[Frame]:
    """Frames of a texture that moves with the target."""
    colors = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    texture = cv2.resize(colors, (WIDTH, HEIGHT))
    corner = np.array([WIDTH - TARGET[0], HEIGHT - TARGET[1]]) / 2
    return [
        Frame(np.roll(texture, 12 * number, axis=1), np.array([corner[0] + 12 * number, corner[1], *TARGET]))
        for number in range(_SHOWN)
    ]


def _shown(scene: list[Frame], first: int, count: int) -> list[Frame]:
    return [scene[(first + number) % _SHOWN] for number in range(count)]


def _spread(seconds: list[float], batch: int) -> Spread:
    milliseconds = 1000 * np.array(seconds) / batch
    return Spread(float(np.median(milliseconds)), float(np.percentile(milliseconds, 95)))


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
