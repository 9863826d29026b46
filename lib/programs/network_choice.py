"""The network that a user names by an experiment, a checkpoint or both."""

from collections.abc import Iterable
from pathlib import Path

from lib.config.paths import Paths
from lib.experiment.build import TorchForm, default_checkpoint, experiment_of_checkpoint
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.runtime.process import find_device
from lib.runtime.program import RequestError


def choose_checkpoint(
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


def choose_form(
    paths: Paths,
    config: str | None = None,
    checkpoint: Path | None = None,
    overrides: Iterable[str] = (),
    device: str = "auto",
    benchmark: str | None = None,
) -> TorchForm:
    """The network of ``choose_checkpoint`` on a device, with its test-time values for the benchmark."""
    device = str(find_device(device))
    experiment, checkpoint = choose_checkpoint(paths, config, checkpoint, overrides)
    return TorchForm(experiment, checkpoint, device, benchmark, pretrained_models=paths.pretrained_models)
