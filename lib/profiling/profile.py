"""Counts what the networks of experiments cost and measures how fast they are, as `tracking/profile_model.py` asks."""

from __future__ import annotations

import logging
import tempfile
from collections import abc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from lib.experiment.config import ExperimentConfig, load_config
from lib.profiling.costs import count_experiment, experiment_names
from lib.profiling.forms import EAGER, Form, open_forms
from lib.profiling.frames import Lane, time_frames, time_step
from lib.profiling.report import ModelReport, Row
from lib.profiling.samples import describe_machine
from lib.profiling.throughput import time_engine
from lib.profiling.training import time_training
from lib.runtime.allocator import keep_large_buffers
from lib.runtime.process import find_device

logger = logging.getLogger(__name__)

# Of what lib.profiling.samples says of the machine; the rest is about decoding.
_MACHINE = {"processor", "cores", "load", "python", "torch", "opencv-python-headless", "opencv-python"}


@dataclass(frozen=True)
class Measurements:
    """What to measure of each experiment.

    * ``forms`` of the network, and exported ones in the ``folders``; ``batches``: how many targets they take at once.
    * ``frames``: how many are timed, after ``warmup`` batches that do not count; 0: none.
    * ``engine``: slots of the engine, which tracks about ``engine_frames`` in a run with ``engine_threads`` of its own
      (None: as many as it takes by itself).
    * ``training``: pairs of a training step; 0: none.
    * ``threads`` of the processor for networks and crops; None: as many as they take by themselves.
    """

    forms: tuple[Form, ...] = (EAGER,)
    folders: tuple[Path, ...] = ()
    batches: tuple[int, ...] = (1,)
    frames: int = 50
    warmup: int = 5
    engine: tuple[int, ...] = ()
    engine_frames: int = 800
    engine_threads: int | None = None
    training: int = 0
    threads: int | None = None

    def settings(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "forms": [str(form) for form in self.forms], "folders": [str(f) for f in self.folders]}


def profile_models(
    names: abc.Sequence[str | Path], overrides: abc.Sequence[str], device: str, wanted: Measurements
) -> ModelReport:
    """Count what the experiments of these names or paths cost, all of ``experiments/`` without names, and measure them.

    Weights are fresh ones, on which neither cost nor time depends. Without measurements no network is made for real.
    Raises ``ValueError`` for what is no experiment, a device that is not there, and a form that cannot be had.
    """
    place = find_device(device)
    experiments = [load_config(name, overrides) for name in names or experiment_names()]
    machine = {name: value for name, value in describe_machine().items() if name in _MACHINE}
    report = ModelReport(machine, list(overrides))
    keep_large_buffers()
    with _threads(wanted.threads):
        if wanted.frames or wanted.engine or wanted.training:
            processor = torch.cuda.get_device_name(place) if place.type == "cuda" else ""
            where = {"device": str(place), "processor": processor, "threads": torch.get_num_threads()}
            report.settings = wanted.settings() | where
        for experiment in tqdm(experiments, "experiments", disable=None):
            report.rows.append(_measure(experiment, place, wanted))
    return report


def _measure(experiment: ExperimentConfig, device: torch.device, wanted: Measurements) -> Row:
    row = Row(experiment.name, experiment.template.size, experiment.search.size, count_experiment(experiment))
    with tempfile.TemporaryDirectory(prefix="profile_") as temporary:
        folder = Path(temporary)
        opened = partial(open_forms, experiment, wanted.forms, wanted.folders, device, wanted.threads, folder)
        if wanted.frames:
            logger.info("%s: %d frames on %s", experiment.name, wanted.frames, device)
            networks = opened(wanted.batches)
            row.frames.extend(time_frames([Lane(*entry) for entry in networks], wanted.frames, wanted.warmup))
            for network in [network for form, network, _ in networks if form == str(EAGER)][:1]:
                row.steps.extend(time_step(network, wanted.frames, wanted.warmup))
        if wanted.engine:
            logger.info("%s: the engine with %s slots", experiment.name, ", ".join(map(str, wanted.engine)))
            networks = opened(wanted.engine, streams=torch.get_num_threads())
            row.engine.extend(time_engine(networks, wanted.engine_frames, wanted.engine_threads, folder))
        if wanted.training:
            logger.info("%s: training steps of %d pairs", experiment.name, wanted.training)
            row.training.extend(time_training(experiment, wanted.training, device))
    return row


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
