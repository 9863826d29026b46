"""Results keep their folders: the digits at the end of a folder's name are a digest of the settings."""

import json
from pathlib import Path

import pytest

from lib.config.paths import Paths
from lib.experiment.build import TorchForm
from lib.experiment.config import load_experiment
from lib.programs.trained_trials import results_of

# The digits of each experiment on LaSOT with fresh weights, by the project's version of 2026-11-29 (48dbb1e).
RECORDED = json.loads((Path(__file__).parents[1] / "reference" / "result_folders.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_results_of_an_earlier_version_are_found(name: str, tmp_path: Path):
    form = TorchForm(load_experiment(name), benchmark="lasot")
    assert results_of(Paths(output=tmp_path), form).path.name == f"no_checkpoint-{RECORDED[name]}"
