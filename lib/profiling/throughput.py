"""Frames a second of the engine from JPEG files, beside a tracker that takes one frame after the other."""

import statistics
from collections import abc
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from lib.data.decoding.images import read_image
from lib.data.types import Sequence
from lib.geometry.aligned import AlignedWindow
from lib.geometry.crop import window_of
from lib.inference.engine import Engine, Failure
from lib.inference.network import Found, Network
from lib.inference.tracker import Tracker
from lib.profiling.footage import BOX, HEIGHT, WIDTH, write_footage
from lib.profiling.report import MeasuredRow

LEAST = 20  # frames of a sequence after its first
_FILES = 8
_ROUNDS = 2


class Still:
    """A network whose boxes keep its targets in place, since fresh weights would lose them and the cost of a crop
    depends on its size. ``box`` is xywh in pixels of an image of ``image_shape``."""

    def __init__(self, network: Network, box: np.ndarray, image_shape: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
        self._network = network
        self.settings, self.batch, self.suggested_batch = network.settings, network.batch, network.suggested_batch
        self.name, self.device = network.name, network.device
        self.encode = network.encode
        window = window_of(box, self.settings.search, image_shape)
        if isinstance(window, AlignedWindow):
            x, y, width, height = window.box_to_crop(box)
            self._answer = np.array([x + width / 2, y + height / 2, width, height])
        else:
            self._answer = np.array([0.5, 0.5, box[2] / window.side, box[3] / window.side], dtype=np.float32)

    def find(self, state: tuple, crops: np.ndarray) -> Found:
        """The network's scores, with the resting box."""
        found = self._network.find(state, crops)
        return found._replace(boxes=np.tile(self._answer, (len(found.boxes), 1)))


def time_engine(
    networks: abc.Sequence[tuple[str, Network, int]], frames: int, threads: int | None, folder: Path
) -> list[MeasuredRow]:
    """Frames a second of the engine with each network, given as form, network and slots, from JPEG files of 1280 x 720
    that are written into ``folder``.

    The first row, without slots, is a tracker that reads and tracks one frame after the other. A run has about
    ``frames`` frames, ``LEAST`` or more a sequence, and all slots are taken until its end. ``threads`` cut crops. On a
    CPU each of torch's threads computes a batch by itself, as in ``lib.experiment.build.TorchForm.engine``.
    """
    write_footage(folder / "footage", 1, _FILES)
    files = sorted(folder.glob("footage/train/*/*.jpg"))

    def sequences(count: int) -> list[Sequence]:
        length = 1 + max(LEAST, frames // count)
        paths = tuple(files[number % _FILES] for number in range(length))
        boxes, visible = np.tile(BOX, (length, 1)), np.ones(length, dtype=bool)
        return [Sequence(f"{number}", "footage", paths, boxes, visible) for number in range(count)]

    lanes = [(form, Still(network, BOX), slots) for form, network, slots in networks]
    rates: list[list[float]] = [[] for _ in range(1 + len(lanes))]
    cores = torch.get_num_threads()
    for _ in range(_ROUNDS):
        rates[0].append(_track_one(lanes[0][1], sequences(1)[0]))
        for own, (form, network, slots) in zip(rates[1:], lanes, strict=True):
            finders = cores if network.device == "cpu" and not form.startswith("compiled") else 1
            engine = Engine(network, slots, finders, threads=threads)
            torch.set_num_threads(1 if finders > 1 else cores)
            own.append(_track_many(engine, sequences((finders + 1) * slots)))
            torch.set_num_threads(cores)
    labels = [(networks[0][0], None), *((form, slots) for form, _, slots in networks)]
    return [
        {"form": form, "slots": slots, "frames/s": statistics.median(own)}
        for (form, slots), own in zip(labels, rates, strict=True)
    ]


def _track_one(network: Network, sequence: Sequence) -> float:
    tracker = Tracker(network)
    tracker.init(read_image(sequence.frames[0]), sequence.boxes[0])
    tracker.update(read_image(sequence.frames[1]))
    started = perf_counter()
    for frame in sequence.frames[2:]:
        tracker.update(read_image(frame))
    return (len(sequence) - 2) / (perf_counter() - started)


def _track_many(engine: Engine, sequences: list[Sequence]) -> float:
    """Frames a second from the first step of all sequences, which are equally long, to the last but one."""
    remaining = iter(sequences)
    marks: list[tuple[int, float]] = []
    for sequence, outcome in engine.run(
        lambda: next(remaining, None), lambda frames: marks.append((frames, perf_counter()))
    ):
        if isinstance(outcome, Failure):
            raise ValueError(f"{sequence.name}: {outcome.reason}")
    (first, started), (last, ended) = marks[0], max(marks)
    return (last - first) / (ended - started)
