"""Costs of experiments' networks, counted, and their times, measured, for `tracking/profile_model.py`."""

import logging
import tempfile
from collections import abc
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from lib.experiment.build import build_model
from lib.experiment.config import EXPERIMENTS, ExperimentConfig, load_experiment
from lib.profiling.cost import Cost, count_cost
from lib.profiling.forms import EAGER, Form, forms_here, open_forms
from lib.profiling.frames import Lane, time_frames, time_parts
from lib.profiling.report import MeasuredRow, MeasuredTable, Report, add_ratios, describe_machine
from lib.profiling.throughput import time_engine
from lib.profiling.training import time_training
from lib.runtime.machine import keep_large_buffers
from lib.runtime.process import find_device
from lib.runtime.stop import terminated_like_interrupted

logger = logging.getLogger(__name__)

_TITLES = {
    "costs": (
        "Parameters (M); multiply-adds (G) of a target once, of each frame, and of both in one pass as papers count;\n"
        "attention: its products in these, the rest are linear layers and convolutions"
    ),
    "frames": (
        "Milliseconds a frame: the network on a target, on a later frame, that frame end to end without decoding\n"
        "(medians, 95th percentile, processor time of all threads); x: parts of an experiment's first line"
    ),
    "parts": "Milliseconds of a frame's parts but the network, eager fp32 (medians)",
    "engine": (
        "Frames a second of the engine from JPEG files of 1280 x 720; x: multiples of a tracker that takes one frame\n"
        "after the other (no slots)"
    ),
    "training": (
        "Training, forward and backward pass: milliseconds a pair, by the clock and of the processor; MiB that a\n"
        "group keeps for the backward pass, and takes at most on a GPU; x: parts of an experiment's first line"
    ),
}


@dataclass(frozen=True)
class Measurements:
    """What to measure of each experiment.

    * ``forms`` of the network, and exported ones in the folders ``network``; ``batch``: numbers of targets in a batch.
    * ``frames``: number of timed frames, after ``warmup`` batches that do not count; 0: none.
    * ``engine``: slots of the engine, which tracks about ``engine_frames`` in a run with ``engine_threads`` of its own
      (None: its own choice).
    * ``training``: pairs of a training step; 0: none.
    * ``threads`` of the processor for networks and crops, from then on; None: the libraries' own choice.
    """

    forms: tuple[Form, ...] = (EAGER,)
    network: abc.Sequence[Path] = ()
    batch: tuple[int, ...] = (1,)
    frames: int = 50
    warmup: int = 5
    engine: tuple[int, ...] = ()
    engine_frames: int = 800
    engine_threads: int | None = None
    training: int = 0
    threads: int | None = None


def experiment_names() -> list[str]:
    """Every experiment of ``experiments/``, by name."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if not path.name.startswith("paths."))


def count_experiment(experiment: ExperimentConfig) -> Cost:
    """The cost of the experiment's network, counted without memory for its weights."""
    return count_cost(partial(build_model, experiment), experiment.template.size, experiment.search.size)


def profile_models(
    names: abc.Sequence[str | Path],
    overrides: abc.Sequence[str],
    device: str,
    wanted: Measurements,
    file: Path | None = None,
) -> Report:
    """Count and measure the experiments of these names or paths, all of ``experiments/`` without names.

    Weights are fresh, since cost and time do not depend on them. The report has the tables "costs", "frames", "parts",
    "engine" and "training"; ``file`` gets it, first empty, then after each experiment. An experiment that fails is
    logged with its traceback, and the others are measured. Raises ``ValueError`` for a name without an experiment, a
    device that is absent, and if this machine can run none of the forms.
    """
    place = find_device(device)
    experiments = [load_experiment(name, overrides) for name in names or experiment_names()]
    wanted = replace(wanted, forms=forms_here(wanted.forms, place))
    report = Report(describe_machine(), tables={name: MeasuredTable(title) for name, title in _TITLES.items()})
    if overrides:
        report.settings["overrides"] = " ".join(overrides)
    keep_large_buffers()
    if wanted.threads is not None:
        torch.set_num_threads(wanted.threads)
        cv2.setNumThreads(wanted.threads)
    if wanted.frames or wanted.engine or wanted.training:
        where = f"{place} ({torch.cuda.get_device_name(place)})" if place.type == "cuda" else str(place)
        report.settings |= {"timed on": where, "threads": torch.get_num_threads()}
        report.settings |= {"frames": wanted.frames, "warmup batches": wanted.warmup}
    if file:
        report.write(file)  # a file that cannot be written must not cost the measurements
    for experiment in tqdm(experiments, "experiments", disable=None):
        try:
            measured = _measure(experiment, place, wanted)
        except Exception as error:  # of this experiment alone, maybe after minutes of others
            logger.exception("%s", experiment.name)
            report.failed.append(f"{experiment.name}: {type(error).__name__}: {error}")
        else:
            for table, rows in measured.items():
                report.tables[table].rows += [{"experiment": experiment.name, **row} for row in rows]
        if file:
            report.write(file)
        if place.type == "cuda":
            torch.cuda.empty_cache()
    return report


def _measure(experiment: ExperimentConfig, device: torch.device, wanted: Measurements) -> dict[str, list[MeasuredRow]]:
    rows = {"costs": [_cost_row(experiment)]}
    with terminated_like_interrupted(), tempfile.TemporaryDirectory(prefix="profile_") as temporary:
        folder = Path(temporary)
        opened = partial(open_forms, experiment, wanted.forms, wanted.network, device, wanted.threads, folder)
        if wanted.frames:
            logger.info("%s: %d frames on %s", experiment.name, wanted.frames, device)
            networks = opened(wanted.batch)
            rows["frames"] = time_frames([Lane(*entry) for entry in networks], wanted.frames, wanted.warmup)
            add_ratios(rows["frames"], "network", "end to end", "processor")
            for network in [network for form, network, _ in networks if form == str(EAGER)][:1]:
                rows["parts"] = time_parts(network, wanted.frames, wanted.warmup)
        if wanted.engine:
            logger.info("%s: the engine with %s slots", experiment.name, ", ".join(map(str, wanted.engine)))
            networks = opened(wanted.engine, streams=torch.get_num_threads())
            rows["engine"] = time_engine(networks, wanted.engine_frames, wanted.engine_threads, folder)
            add_ratios(rows["engine"], "frames/s")
        if wanted.training:
            logger.info("%s: training steps of %d pairs", experiment.name, wanted.training)
            rows["training"] = time_training(experiment, wanted.training, device)
            add_ratios(rows["training"], "ms/pair", "kept")
    return rows


def _cost_row(experiment: ExperimentConfig) -> MeasuredRow:
    cost = count_experiment(experiment)
    return {
        "crops": f"{experiment.template.size}/{experiment.search.size}",
        "params": cost.parameters / 1e6,
        "target": cost.template.total / 1e9,
        "frame": cost.frame.total / 1e9,
        "both": cost.both.total / 1e9,
        "attention": cost.both.attention / 1e9,
    }
