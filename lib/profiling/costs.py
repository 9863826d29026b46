"""What the networks of experiments cost, counted: parameters and multiply-adds."""

from __future__ import annotations

from functools import partial

from lib.experiment.build import build_model
from lib.experiment.config import EXPERIMENTS, ExperimentConfig
from lib.export.cost import Cost, count_cost


def experiment_names() -> list[str]:
    """Every experiment of ``experiments/``, by name."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if not path.name.startswith("paths."))


def count_experiment(experiment: ExperimentConfig) -> Cost:
    """The cost of the experiment's network; neither its memory nor its time is needed for that."""
    return count_cost(partial(build_model, experiment), experiment.template.size, experiment.search.size)
