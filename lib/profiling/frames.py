"""Times of a frame with several forms of a network, in turns within one process: the network alone and end to end."""

from collections import abc, defaultdict
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from lib.inference.network import Network
from lib.inference.target import Target, begin, look, place
from lib.inference.torch_network import TorchNetwork, as_planes
from lib.profiling.footage import BOX, read_footage
from lib.profiling.report import MeasuredRow

TURN = 5  # frames of one form before the next has its turn, so that a drift of the machine's speed hits all alike
_SHOWN = 8  # frames, over and over


class Lane:
    """A form of a network with ``batch`` targets, and the seconds it has taken.

    Targets are put back where they are before every frame: an untrained network would lose them, and the cost of a crop
    depends on its size.
    """

    def __init__(self, form: str, network: Network, batch: int) -> None:
        self.form, self.network, self.batch = form, network, batch
        self.state: tuple[Any, ...] = ()
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def encode(self, images: abc.Sequence[np.ndarray]) -> None:
        """Show the network the targets of the first ``batch`` images."""
        firsts = [begin(image, BOX, self.network.settings) for image in images[: self.batch]]
        crops, boxes = np.stack([first.view.pixels for first in firsts]), np.stack([first.box for first in firsts])
        started = perf_counter()
        self.state = self.network.encode(crops, boxes)
        _finish(self.network.device)
        self.seconds["template"].append(perf_counter() - started)

    def step(self, images: abc.Sequence[np.ndarray]) -> None:
        """Find the targets of the first ``batch`` images."""
        settings, shown = self.network.settings, images[: self.batch]
        started, processor = perf_counter(), process_time()
        views = [look(image, Target(BOX, 0), settings.search) for image in shown]
        crops = np.stack([view.pixels for view in views])
        looked = perf_counter()
        found = self.network.find(self.state, crops)  # numbers, so the device has done its work
        seconds = perf_counter() - looked
        for row, view in enumerate(views):
            place(found.boxes[row], float(found.scores[row]), view, settings.tracker)
        self.seconds["whole"].append(perf_counter() - started)
        self.seconds["processor"].append(process_time() - processor)
        self.seconds["find"].append(seconds)

    def row(self) -> MeasuredRow:
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


def time_frames(lanes: abc.Sequence[Lane], frames: int, warmup: int) -> list[MeasuredRow]:
    """The row of each lane; lanes take turns of a few frames until each has had ``frames`` of them or more.

    ``warmup`` batches of each before that do not count; networks are compiled and graphs captured in the first.
    """
    scene = read_footage(_SHOWN)
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
def time_parts(network: TorchNetwork, frames: int, warmup: int) -> list[MeasuredRow]:
    """Milliseconds of a frame's parts but the network, of one target in eager fp32: medians, a row for each clock.

    ``crop``: cutting it. ``normalize``: its transfer and normalization. ``choose``: the choice of a box and its
    transfer back. ``box``: its place in the image. ``processor`` is the time of all threads of the process.
    """
    lane, scene, graph = Lane("", network, 1), read_footage(_SHOWN), network.find_graph
    settings, device = network.settings, network.device
    lane.encode(scene)
    rounds = []

    def mark() -> tuple[float, float]:
        _finish(device)
        return perf_counter(), process_time()

    for number in range(warmup + frames):
        marks = [mark()]
        view = look(scene[number % _SHOWN], Target(BOX, 0), settings.search)
        marks.append(mark())
        crops = graph.normalize(as_planes(torch.from_numpy(view.pixels[None]).to(device)))
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
        {"clock": clock, **dict(zip(("crop", "normalize", "choose", "box"), values, strict=True)), "all": sum(values)}
        for clock, values in zip(("wall", "processor"), medians, strict=True)
    ]


def _shown(scene: list[np.ndarray], first: int, count: int) -> list[np.ndarray]:
    return [scene[(first + number) % _SHOWN] for number in range(count)]


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
