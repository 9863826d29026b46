"""A whole experiment that trains on a CPU within a second, as a file for tests of the wiring and of the programs; and
checkpoints that were never trained."""

from pathlib import Path
from typing import Any

from lib.config.tree import merge
from lib.config.yaml12 import to_yaml
from lib.experiment.build import build_model
from lib.experiment.config import ExperimentConfig, to_tree
from lib.runtime.checkpoint import save_checkpoint

TREE: dict[str, Any] = {
    "seed": 7,
    "model": {
        "name": "grm",
        "pretrained": "none",
        "backbone": {"width": 32, "depth": 2, "heads": 2, "patch": 16, "drop_path": 0.1},
        "division": {"hidden": 16},
        "head": {"kind": "center", "channels": 16},
    },
    "template": {"size": 32, "factor": 2.0},
    "search": {"size": 64, "factor": 3.0},
    "data": {
        "train": [{"name": "got10k", "split": "full"}],
        "val": [{"name": "got10k", "split": "official_val"}],
        "samples_per_epoch": 8,
        "val_samples": 4,
        "search_jitter": {"center": 1.0, "scale": 0.1},
        "workers": 0,
    },
    "train": {
        "epochs": 2,
        "global_batch": 4,
        "group_batch": 2,
        "optimizer": {"lr": 1e-3, "weight_decay": 1e-4, "lr_factors": {"backbone": 0.1}},
        "schedule": {"kind": "cosine"},
        "clip_norm": 0.1,
        "log_every": 1,
    },
}


def write_experiment(file: Path, **changes: Any) -> Path:
    """The toy with ``changes`` to its sections laid over it, written to ``file``."""
    file.write_text(to_yaml(merge(TREE, changes)), encoding="utf-8")
    return file


def write_checkpoint(file: Path, experiment: ExperimentConfig) -> Path:
    """The experiment with fresh weights, as training leaves it; folders are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(file, {"model": build_model(experiment).state_dict(), "experiment": to_tree(experiment)})
    return file
