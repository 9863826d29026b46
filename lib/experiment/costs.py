"""What the networks of experiments cost: parameters and multiply-adds, and how long a frame takes on this machine."""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Iterator
from collections.abc import Sequence as Many
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from lib.data.profiling import describe_machine
from lib.experiment.build import build_model, build_tracker
from lib.experiment.config import EXPERIMENTS, ExperimentConfig, load_config
from lib.export.cost import Cost, count_cost
from lib.inference.tracker import Tracker
from lib.runtime.files import write_text
from lib.runtime.process import find_device

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16"]

WIDTH, HEIGHT = 1280, 720
# Of what lib.data.profiling says of the machine; the rest is about decoding.
_MACHINE = {"processor", "cores", "load", "python", "torch", "opencv-python-headless", "opencv-python"}
_TARGET = 160, 120  # pixels
_SHOWN = 8  # frames, over and over
_TEMPLATES = 10  # that are encoded, beside those of the warm-up


class Spread(NamedTuple):
    """Milliseconds: the median, and what 95 % of the frames stay below."""

    median: float
    p95: float


@dataclass(frozen=True)
class Times:
    """Milliseconds of one network in a ``Tracker``, one sample at a time.

    ``template``: the network on the first frame. ``network``: the network alone on a later frame. ``whole``: that frame
    end to end: crop, transfer to the device, network, choosing a box and mapping it back; decoding is not in it.
    """

    template: Spread
    network: Spread
    whole: Spread


@dataclass(frozen=True)
class Row:
    """One experiment: the sides of its crops in pixels, what it costs, and its times if they were asked for."""

    experiment: str
    template: int
    search: int
    cost: Cost
    times: Times | None = None


@dataclass
class ModelReport:
    """What ``profile_models`` counted and measured, on what machine and how. ``settings`` is empty without times."""

    machine: dict[str, str]
    overrides: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; numbers of multiply-adds are whole ones, times milliseconds."""
        report = asdict(self)
        for entry, row in zip(report["rows"], self.rows, strict=True):
            entry["times"] = row.times and {name: value._asdict() for name, value in vars(row.times).items()}
        return report

    def write(self, path: Path) -> None:
        """Write ``to_json`` to a file; ``OSError`` names it."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n")

    def text(self) -> str:
        """The tables for a terminal."""
        lines = [
            "; ".join(f"{name} {value}" for name, value in self.machine.items()),
            *(["overrides: " + " ".join(self.overrides)] if self.overrides else []),
            "",
            "Multiply-adds (G): of a target once, of each frame, and both in one pass as papers count;",
            "of these the products of attention, the rest linear layers and convolutions",
        ]
        lines += _columns(
            ["experiment", "crops", "params (M)", "target", "frame", "both", "attention"],
            [
                [
                    row.experiment,
                    f"{row.template}/{row.search}",
                    f"{row.cost.parameters / 1e6:.2f}",
                    *(f"{work.total / 1e9:.3f}" for work in (row.cost.template, row.cost.frame, row.cost.both)),
                    f"{row.cost.both.attention / 1e9:.3f}",
                ]
                for row in self.rows
            ],
        )
        if self.settings:
            lines += ["", _describe(self.settings)]
            lines += _columns(
                ["experiment", "target", "network", "p95", "end to end", "p95", "frames/s"],
                [
                    [
                        row.experiment,
                        f"{row.times.template.median:.2f}",
                        *(f"{value:.2f}" for value in (*row.times.network, *row.times.whole)),
                        f"{1000 / row.times.whole.median:.1f}",
                    ]
                    for row in self.rows
                ],
            )
        return "\n".join(lines)


def profile_models(
    names: Many[str],
    overrides: Many[str] = (),
    *,
    device: str = "auto",
    frames: int = 50,
    warmup: int = 5,
    precision: Precision = "fp32",
    threads: int | None = None,
) -> ModelReport:
    """Count what the experiments of these names or paths cost, all of ``experiments/`` without names, and time them.

    ``frames`` are timed after ``warmup`` ones that do not count; with 0 nothing is timed, and no network is made for
    real. Weights are fresh ones, on which neither cost nor time depends. ``threads`` of the processor work for torch
    and for the crops; None leaves them as they are. Raises ``ValueError`` for what is no experiment and a device that
    is not there.
    """
    place = find_device(device)
    experiments = [load_config(name, overrides) for name in names or experiment_names()]
    machine = {name: value for name, value in describe_machine().items() if name in _MACHINE}
    report = ModelReport(machine, list(overrides))
    with _threads(threads):
        if frames:
            report.settings = {
                "device": str(place),
                "processor": torch.cuda.get_device_name(place) if place.type == "cuda" else "",
                "precision": precision,
                "threads": torch.get_num_threads(),
                "frames": frames,
                "warmup": warmup,
                "width": WIDTH,
                "height": HEIGHT,
            }
        for experiment in tqdm(experiments, "experiments", disable=None):
            cost = count_experiment(experiment)
            times = None
            if frames:
                logger.info("%s: %d frames on %s", experiment.name, frames, place)
                times = time_tracker(build_tracker(experiment, device=str(place)), frames, warmup, precision)
            report.rows.append(Row(experiment.name, experiment.template.size, experiment.search.size, cost, times))
    return report


def experiment_names() -> list[str]:
    """Every experiment of ``experiments/``, by name."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if not path.name.startswith("paths."))


def count_experiment(experiment: ExperimentConfig) -> Cost:
    """What the experiment's network costs; neither its memory nor its time is needed for that."""
    return count_cost(partial(build_model, experiment), experiment.template.size, experiment.search.size)


def time_tracker(tracker: Tracker, frames: int, warmup: int, precision: Precision = "fp32") -> Times:
    """Milliseconds of ``tracker``'s network on ``frames`` textured frames after ``warmup`` ones.

    The target is put back where it is before every frame: an untrained network would lose it, and the cost of a crop
    depends on its size. Under bf16 the network runs in autocast, as in training.
    """
    scene = _scene()
    template, network, whole = [], [], []
    with torch.autocast(tracker.device.type, torch.bfloat16, enabled=precision == "bf16"):
        for number in range(warmup + _TEMPLATES):
            tracker.init(*scene[number % _SHOWN])
            template.append(tracker.network_seconds)
        for number in range(warmup + frames):
            image, tracker.box = scene[number % _SHOWN]
            started = perf_counter()
            tracker.update(image)  # returns numbers, so the device has done its work
            whole.append(perf_counter() - started)
            network.append(tracker.network_seconds)
    return Times(*(_spread(seconds[warmup:]) for seconds in (template, network, whole)))


def _spread(seconds: list[float]) -> Spread:
    return Spread(1000 * statistics.median(seconds), 1000 * float(np.percentile(seconds, 95)))


def _scene() -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames uint8 ``[HEIGHT, WIDTH, 3]`` of a texture that moves, and the target's box in each, xywh in pixels."""
    colours = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    texture = cv2.resize(colours, (WIDTH, HEIGHT))
    corner = np.array([WIDTH - _TARGET[0], HEIGHT - _TARGET[1]]) / 2
    return [
        (np.roll(texture, 12 * number, axis=1), np.array([corner[0] + 12 * number, corner[1], *_TARGET]))
        for number in range(_SHOWN)
    ]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """``count`` threads for torch and OpenCV within."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    if count is not None:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _describe(settings: dict[str, Any]) -> str:
    threads = settings["threads"]
    where = settings["processor"] or f"{threads} thread{'s' if threads > 1 else ''}"
    return (
        f"Milliseconds on {settings['device']} ({where}), {settings['precision']}, one frame at a time:\n"
        f"{settings['frames']} frames of {settings['width']} x {settings['height']} after {settings['warmup']}; "
        "medians, and what 95 % stay below"
    )


def _columns(head: list[str], rows: list[list[str]]) -> list[str]:
    """Columns side by side, the first to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in (head, *rows)
    ]
