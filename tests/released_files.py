"""Checkpoints such as the authors of GRM, OSTrack, TransT and SimTrack released them, made of filled or random weights:
the same wrapping, the same names and the same paths of pickled classes, which nobody can import afterwards."""

import os
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from reference_weights import key_table
from torch import Tensor

from lib.models.base import TrackingModel
from lib.models.weights.released import as_ours

# A published key table of each family; STARK-SV was never released.
TABLES = {
    "grm": "grm_vitb_256",
    "lorat": "lorat_b224",
    "ostrack": "ostrack_vitb_256",
    "simtrack": "simtrack_b16",
    "transt": "transt",
}


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def published_weights(model: TrackingModel) -> dict[str, Tensor]:
    """Random weights under the names that the model's family was published with, for a model of any size: the names of
    the published table of which the renaming makes names of ours, and those that it drops."""
    own = model.state_dict()
    weights = {}
    for name, entry in key_table(TABLES[model.family.name]).items():
        meta = torch.empty(entry["shape"], device="meta")
        ours = as_ours(model.family, {name: meta}, own)
        if "value" in entry:  # a setting that the file states
            weights[name] = torch.tensor(entry["value"])
        elif not ours:
            weights[name] = torch.randn([min(length, 3) for length in entry["shape"]])
        for our_name, renamed in ours.items():
            if our_name in own:
                lead = renamed.ndim - meta.ndim  # our table of positions has an axis for the batch
                value = torch.randn(own[our_name].shape[lead:]) / 10
                weights[name] = (value.abs() + 1 if name.endswith("var") else value).to(own[our_name].dtype)
    return weights


@contextmanager
def _modules(paths: Mapping[str, tuple[str, ...]]) -> Iterator[Callable[[str], type]]:
    """Modules with empty classes of these names, importable until the end of the block."""
    kinds, added = {}, []
    for path, names in paths.items():
        for end in range(1, len(path.split(".")) + 1):
            part = ".".join(path.split(".")[:end])
            if part not in sys.modules:
                sys.modules[part] = types.ModuleType(part)
                added.append(part)
        for name in names:
            kinds[name] = type(name, (), {"__module__": path})
            setattr(sys.modules[path], name, kinds[name])
    try:
        yield kinds.__getitem__
    finally:
        for part in added:
            del sys.modules[part]


def write_released(path: Path, family: str, weights: Mapping[str, Tensor], zipped: bool, extra: Any = None) -> Path:
    """A checkpoint of the family's repository around ``weights``, in torch's format of today or before 1.6; ``extra``
    stands before all else in it."""
    root = "ltr" if family == "transt" else "lib.train"
    paths = {
        f"{root}.admin.settings": ("Settings",),
        f"{root}.admin.local": ("EnvironmentSettings",),
        f"{root}.admin.stats": ("AverageMeter",),
        f"{root}.admin.model_constructor": ("NetConstructor",),
    }
    with _modules(paths) as kind:
        settings, meter, constructor = kind("Settings")(), kind("AverageMeter")(), kind("NetConstructor")()
        settings.env = kind("EnvironmentSettings")()
        settings.env.workspace_dir = "/home/someone"
        settings.batchsize, settings.search_factor = 32, {"search": 4.0}
        meter.history, meter.avg = [0.5], 0.25
        constructor.fun_name, constructor.args = "transt_resnet50", (settings,)
        state = OrderedDict(weights)
        state._metadata = {"": {"version": 1}}
        first = next(iter(weights.values()))
        content = {
            "extra": extra,
            "epoch": 300,
            "actor_type": "Actor",
            "net_type": "Net",
            "net": state,
            "net_info": None,
            "constructor": constructor,
            "optimizer": {
                "state": {0: {"step": 9, "exp_avg": torch.zeros_like(first)}},
                "param_groups": [{"lr": 1e-4}],
            },
            "stats": OrderedDict(train=OrderedDict(Loss=meter)),
            "settings": settings,
        }
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path
