"""The network that a user names is the experiment's, with the weights that were named or those of its run."""

from pathlib import Path

import pytest
import torch
from toy_experiment import write_experiment

from lib.config.paths import load_paths
from lib.experiment.build import build_model
from lib.experiment.config import load_experiment, to_tree
from lib.programs.network_choice import choose_form
from lib.runtime.checkpoint import save_checkpoint


def test_config_checkpoint_or_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path))
    paths, file = load_paths(), write_experiment(tmp_path / "toy.yaml")
    with pytest.raises(ValueError, match=r"toy/checkpoints/last\.pth: no such checkpoint; .*--checkpoint"):
        choose_form(paths, str(file), device="cpu")
    weights = {}
    for seed, checkpoint in ((3, tmp_path / "toy" / "checkpoints" / "last.pth"), (5, tmp_path / "other.pth")):
        experiment = load_experiment(file, [f"seed={seed}"])
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        weights[checkpoint] = build_model(experiment).state_dict()
        save_checkpoint(checkpoint, {"model": weights[checkpoint], "experiment": to_tree(experiment)})
    last, other = weights
    for config, checkpoint, expected in ((file, None, last), (file, other, other), (None, other, other)):
        network = choose_form(paths, config and str(config), checkpoint, device="cpu").network()
        assert (network.name, network.device) == ("toy", "cpu")
        for name, tensor in network.model.state_dict().items():
            assert torch.equal(tensor, weights[expected][name]), name
