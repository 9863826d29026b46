"""Small networks that export in seconds, for the tests of exported ones."""

from pathlib import Path

import torch
from families import TWINS, fresh, tiny
from toy_experiment import write_experiment

from lib.experiment.config import ExperimentConfig, from_tree, load_experiment, to_tree
from lib.inference.settings import TrackSettings
from lib.inference.torch_network import TorchNetwork

# Tracked by its window alone, whose middle of 7 x 7 cells is one cell: random scores are too near each other for any
# reduced precision to choose alike.
DECISIVE = ("search.size=112", "test.tracker.window=blend", "test.tracker.penalty=0.9")
# A search crop of 128 pixels is 8 cells, of 64 a template of 4.
PYRAMIDS = {
    "swin": {"kind": "swin", "width": 16, "depths": [2, 2, 2], "heads": [1, 2, 4], "window": 4},
    "pvt": {
        "kind": "pvt",
        "widths": [16, 32, 32],
        "depths": [2, 2, 2],
        "heads": [1, 2, 2],
        "mlp_ratios": [2, 2, 2],
        "reductions": [8, 4, 2],
    },
}


def network_of(experiment: ExperimentConfig, seed: int | None = None) -> TorchNetwork:
    """The experiment's network with the weights of ``families.fresh``; ``seed`` makes all of its biases others."""
    model = fresh(experiment)
    if seed is not None:
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter) / 20)
    settings = TrackSettings(template=experiment.template, search=experiment.search, tracker=experiment.test.tracker)
    return TorchNetwork(model, settings, name=experiment.name)


def toy_network(folder: Path, *overrides: str, seed: int | None = None) -> TorchNetwork:
    """GRM with two blocks of 32 channels; its experiment is written to ``folder``."""
    return network_of(load_experiment(write_experiment(folder / "toy.yaml"), overrides), seed)


def twin(name: str, *overrides: str) -> ExperimentConfig:
    """A family's tiny twin; SimTrack's also with other backbones, by their kind."""
    if name in TWINS:
        return tiny(name, None, *overrides)
    tree = to_tree(tiny("simtrack", None, *overrides))
    return from_tree({**tree, "model": {**tree["model"], "backbone": PYRAMIDS[name]}}, name)
