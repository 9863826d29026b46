"""The network that a user names by an experiment, a checkpoint or both."""

from collections.abc import Iterable
from pathlib import Path

from lib.config.paths import Paths
from lib.experiment.build import TorchForm, default_checkpoint, experiment_of_checkpoint
from lib.experiment.config import load_experiment
from lib.runtime.program import RequestError


def choose_form(
    paths: Paths,
    config: str | None = None,
    checkpoint: Path | None = None,
    overrides: Iterable[str] = (),
    device: str = "cpu",
    benchmark: str | None = None,
    run: str | None = None,
) -> TorchForm:
    """The network of the experiment ``config``, else of the checkpoint's own, with the weights of ``checkpoint``, else
    of the experiment's ``default_checkpoint``. ``run`` replaces the experiment's name. Raises ``ConfigError`` and
    ``CheckpointError``."""
    if config is not None:
        experiment = load_experiment(config, overrides, run)
    elif checkpoint is not None:
        experiment = experiment_of_checkpoint(checkpoint, overrides, run)
    else:
        raise RequestError("name --config, --checkpoint or both")
    checkpoint = checkpoint or default_checkpoint(experiment, paths)
    return TorchForm(experiment, checkpoint, device, benchmark, pretrained_models=paths.pretrained_models)
