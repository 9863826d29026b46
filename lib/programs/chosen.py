"""The network that a user names by an experiment, a checkpoint or both, on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from lib.config.paths import Paths
from lib.experiment.build import build_network, default_checkpoint, experiment_of_checkpoint, load_experiment
from lib.inference.eager import TorchNetwork
from lib.runtime.process import find_device


def build_chosen(
    paths: Paths,
    config: str | None = None,
    checkpoint: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    overrides: Sequence[str] = (),
    dataset: str | None = None,
) -> TorchNetwork:
    """The network of ``config`` (without it, the checkpoint's own) with the weights of ``checkpoint`` (without it,
    those of ``default_checkpoint``), with its values for the benchmark ``dataset``. Raises ``ConfigError`` and
    ``CheckpointError``."""
    if threads:
        torch.set_num_threads(threads)
    device = str(find_device(device))
    if config is None:
        assert checkpoint is not None, "neither an experiment nor a checkpoint"
        experiment = experiment_of_checkpoint(checkpoint, overrides)
    else:
        experiment = load_experiment(config, overrides)
        checkpoint = checkpoint or default_checkpoint(experiment, paths)
    return build_network(experiment, checkpoint, device, dataset, pretrained_models=paths.pretrained_models)
