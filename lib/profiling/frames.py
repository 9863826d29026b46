"""Times of a frame with several forms of a network, in turns within one process: the network alone and end to end."""

from collections import abc, defaultdict
from time import perf_counter, process_time
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from lib.inference.eager import TorchNetwork
from lib.inference.network import Network
from lib.inference.target import Target, begin, look, place
from lib.profiling.report import Row

WIDTH, HEIGHT = 1280, 720
TARGET = 160, 120  # pixels
TURN = 5  # frames of one form before the next has its turn, so that a drift of the machine's speed hits all alike
_SHOWN = 8  # frames, over and over


class Frame(NamedTuple):
    """An image uint8 ``[HEIGHT, WIDTH, 3]`` and the target's box in it, xywh in pixels."""

    image: np.ndarray
    box: np.ndarray


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

    def row(self) -> Row:
        """Milliseconds a frame: a batch's time over its targets.

        ``target``: the network on a first frame. ``network``: the network on a later one: transfer to the device,
        normalization, network, choice of the best box. ``end to end``: that frame with crop and box, without decoding;
        ``p95`` its 95th percentile. ``processor``: the processor's time of it, in all threads of the process.
        """
        times = {name: 1000 * np.array(seconds) / self.batch for name, seconds in self.seconds.items()}
        medians = {name: float(np.median(values)) for name, values in times.items()}
        return {
            "form": self.form,
            "batch": self.batch,
            "target": medians["template"],
            "network": medians["find"],
            "end to end": medians["whole"],
            "p95": float(np.percentile(times["whole"], 95)),
            "processor": medians["processor"],
            "frames/s": 1000 / medians["whole"],
        }


def time_frames(lanes: abc.Sequence[Lane], frames: int, warmup: int) -> list[Row]:
    """The row of each lane; lanes take turns of a few frames until each has had ``frames`` of them or more.

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
    return [lane.row() for lane in lanes]


@torch.inference_mode()
def time_parts(network: TorchNetwork, frames: int, warmup: int) -> list[Row]:
    """Milliseconds of a frame's parts but the network, of one target in eager fp32: medians, a row for each clock.

    ``crop``: cutting it. ``normalize``: its transfer and normalization. ``choose``: the choice of a box and its
    transfer back. ``box``: its place in the image. ``processor`` is the time of all threads of the process.
    """
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
    medians = np.delete(1000 * np.median(rounds[warmup:], axis=0), 2, axis=0).T.tolist()  # without the network
    return [
        {"clock": clock, "crop": cut, "normalize": normalize, "choose": choose, "box": placed, "all": sum(values)}
        for clock, values in zip(("wall", "processor"), medians, strict=True)
        for cut, normalize, choose, placed in [values]
    ]


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


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
