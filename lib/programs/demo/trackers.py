"""The trackers to choose from: the shipped one, runs in the output folder, exported networks; one is open at a time."""

from collections import abc
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from lib.config.paths import REPOSITORY, Paths
from lib.config.yaml12 import read_yaml
from lib.export.record import RECORD, ExportError, read_record
from lib.inference.network import Network
from lib.inference.tracker import Tracker
from lib.programs.tracking import SHIPPED, open_tracking_network

MEASURED = 0.7  # seconds of a measurement
FRAME = (480, 854)  # height and width of its image


class Choice(NamedTuple):
    """A tracker to choose: its name, a ``detail`` for the list, and the word of ``open_tracking_network``: ``config``,
    ``checkpoint`` or ``network`` with its value."""

    label: str
    detail: str
    word: dict[str, Any]


def find_trackers(
    paths: Paths,
    configs: abc.Sequence[str] = (),
    checkpoints: abc.Sequence[Path] = (),
    networks: abc.Sequence[Path] = (),
) -> list[Choice]:
    """The named trackers, then the others at hand. Raises ``ValueError`` if there is none."""
    named = [
        *(Choice(Path(config).stem, "experiment", {"config": config}) for config in configs),
        *(Choice(_name(file), file.name, {"checkpoint": file}) for file in checkpoints),
        *(_exported(folder) for folder in networks),
    ]
    runs = sorted(paths.output.glob("*/checkpoints/last.pth"), key=lambda file: file.stat().st_mtime, reverse=True)
    others = [
        *_exported_below(paths.pretrained_models, "*"),
        *([Choice(SHIPPED, "shipped weights", {"config": SHIPPED})] if _has_weights(SHIPPED, paths) else []),
        *(Choice(_name(file), "run", {"checkpoint": file}) for file in runs),
        *_exported_below(paths.output, "*", "*/*", "*/exported/*"),
    ]
    taken = [choice.word for choice in named]
    found = [*named, *(other for other in others if other.word not in taken)]
    if not found:
        raise ValueError(
            f"no tracker at hand: {paths.output} holds no run; name one with --config, --checkpoint or --network"
        )
    return found


def _exported_below(folder: Path, *patterns: str) -> list[Choice]:
    found = []
    for record in sorted(file for pattern in patterns for file in folder.glob(f"{pattern}/{RECORD}")):
        with suppress(ExportError):  # damaged or of another format, and not requested
            found.append(_exported(record.parent))
    return found


def _name(checkpoint: Path) -> str:
    """The name of a run, or of a file that lies elsewhere."""
    return checkpoint.parent.parent.name if checkpoint.parent.name == "checkpoints" else checkpoint.stem


def _has_weights(experiment: str, paths: Paths) -> bool:
    """Whether the weights that come with an experiment are there; its file is read alone, since torch takes seconds."""
    weights = read_yaml(REPOSITORY / "experiments" / f"{experiment}.yaml").get("weights")
    return weights is not None and paths.weights(weights).is_file()


def _exported(folder: Path) -> Choice:
    record = read_record(folder)
    return Choice(record.origin.experiment, f"exported {record.runtime} {record.precision}", {"network": folder})


class Trackers:
    """The ``choices``, and the network that was used last, so that it is opened once."""

    def __init__(self, paths: Paths, choices: abc.Sequence[Choice], device: str = "auto") -> None:
        self.choices = list(choices)
        self.speeds: dict[int, float] = {}  # frames a second, by the choice's number
        self._paths, self._device = paths, device
        self._lock = Lock()
        self._last: tuple[int, Network] | None = None

    def open(self, number: int) -> Network:
        """The network of a choice. Raises ``ValueError`` for a number out of range, and if it cannot be opened."""
        if not 0 <= number < len(self.choices):
            raise ValueError(f"no tracker has the number {number}; reload the page")
        with self._lock:
            if self._last is None or self._last[0] != number:
                self._last = None  # the memory of one network at a time
                network = open_tracking_network(**self.choices[number].word, device=self._device, paths=self._paths)
                self._last = number, network
            return self._last[1]

    def measure(self, number: int) -> float:
        """Frames a second with one target, from the image to the box, in a short measurement."""
        tracker = Tracker(self.open(number))
        image = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), dtype=np.uint8)
        box = np.array([380.0, 200.0, 90.0, 70.0])
        tracker.init(image, box)
        tracker.update(image)  # libraries choose and allocate in the first call
        count, started = 0, perf_counter()
        while perf_counter() - started < MEASURED or count == 0:
            tracker.box = box
            tracker.update(image)
            count += 1
        self.speeds[number] = count / (perf_counter() - started)
        return self.speeds[number]

    def describe(self) -> list[dict[str, Any]]:
        """Label, detail and measured speed of each choice, for the page."""
        return [
            {"label": choice.label, "detail": choice.detail, "speed": self.speeds.get(number)}
            for number, choice in enumerate(self.choices)
        ]
