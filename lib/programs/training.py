"""The body of `tracking/train.py`."""

import os
from collections import abc
from contextlib import nullcontext
from functools import partial

from lib.config.paths import Paths
from lib.experiment.build import build_trainer, check_training_files, run_folder
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.runtime.launch import launch
from lib.runtime.locks import only_writer
from lib.runtime.process import joined
from lib.runtime.program import RequestError
from lib.runtime.ranks import ranks
from lib.training.schedule import StepPlan


def train(
    paths: Paths,
    config: str,
    name: str | None,
    nproc: int,
    device: str,
    overfit: bool,
    overrides: abc.Sequence[str],
) -> int:
    """Train an experiment in ``nproc`` processes; the exit code: 0, or 130 or 143 if the training was stopped.

    ``name`` is the output folder's name, by default the experiment's. Raises ``ConfigError`` for an experiment that
    cannot be trained here, before a GPU is touched.
    """
    if nproc > 1 and os.environ.get("WORLD_SIZE"):
        raise RequestError("--nproc starts the processes itself; leave it out under torchrun")
    if nproc > 1 and device.startswith("cuda:"):
        raise RequestError(f"--device {device} is one GPU; with --nproc each process takes its own of --device cuda")
    experiment = load_experiment(config, overrides, name)
    StepPlan(experiment.train, experiment.data, nproc)  # for one error instead of one in each process
    check_training_files(experiment, paths)
    task = partial(_train, experiment, paths, device, overfit)
    return launch(nproc, task) if nproc > 1 else task()


def _train(experiment: ExperimentConfig, paths: Paths, device: str, overfit: bool) -> int:
    """The share of this process."""
    folder = run_folder(experiment, paths, overfit)
    remedy = "wait for it, end it, or give this run a folder of its own with --name"
    alone = nullcontext() if ranks().rank else only_writer(folder, folder / ".lock", remedy)
    with alone, joined(device) as process:
        signal = build_trainer(experiment, paths, process, overfit).run()
    return 128 + signal if signal else 0
