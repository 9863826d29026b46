"""What networks cost, counted."""

from __future__ import annotations

from toy_experiment import write_experiment

from lib.experiment.build import build_model
from lib.experiment.config import load_config
from lib.profiling.costs import count_experiment, experiment_names


def test_parameters_are_the_networks_own(tmp_path):
    experiment = load_config(write_experiment(tmp_path / "toy.yaml"), ["model.backbone.depth=3"])
    cost = count_experiment(experiment)
    assert cost.parameters == sum(value.numel() for value in build_model(experiment).parameters())
    assert cost.frame.total > cost.template.total > 0


def test_every_experiment_has_a_name_that_loads():
    names = experiment_names()
    assert "grm_tiny" in names and "paths.example" not in names
    assert [load_config(name).name for name in names] == names
