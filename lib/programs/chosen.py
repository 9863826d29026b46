"""The network that a user names by an experiment, a checkpoint or both."""

from collections.abc import Iterable
from pathlib import Path

import torch

from lib.config.paths import Paths
from lib.experiment.build import build_network, default_checkpoint, experiment_of_checkpoint
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.inference.eager import TorchNetwork
from lib.runtime.process import find_device
from lib.runtime.program import RequestError


def find_chosen(
    paths: Paths,
    config: str | None = None,
    checkpoint: Path | None = None,
    overrides: Iterable[str] = (),
    run: str | None = None,
) -> tuple[ExperimentConfig, Path]:
    """The experiment ``config``, else the checkpoint's own; and ``checkpoint``, else the experiment's
    ``default_checkpoint``. Raises ``ConfigError`` and ``CheckpointError``."""
    if config is not None:
        experiment = load_experiment(config, overrides, run)
    elif checkpoint is not None:
        experiment = experiment_of_checkpoint(checkpoint, overrides, run)
    else:
        raise RequestError("name --config, --checkpoint or both")
    return experiment, checkpoint or default_checkpoint(experiment, paths)


def build_chosen(
    paths: Paths,
    config: str | None = None,
    checkpoint: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    overrides: Iterable[str] = (),
    dataset: str | None = None,
) -> TorchNetwork:
    """The network of ``find_chosen`` on a device, with its test-time values for the benchmark ``dataset``; ``threads``
    is the number of CPU threads, None for PyTorch's own."""
    if threads:
        torch.set_num_threads(threads)
    device = str(find_device(device))
    experiment, checkpoint = find_chosen(paths, config, checkpoint, overrides)
    return build_network(experiment, checkpoint, device, dataset, pretrained_models=paths.pretrained_models)
