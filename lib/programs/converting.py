"""Released checkpoints rewritten in our plain form: what `tracking/convert_checkpoint.py` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lib.experiment.build import build_model, experiment_of_checkpoint, load_experiment, trained_model
from lib.experiment.config import ExperimentConfig, to_tree
from lib.models.base import TrackingModel
from lib.models.weights.released import find_weights
from lib.models.weights.renaming import read_table
from lib.runtime.checkpoint import CheckpointError, checksum_of, save_checkpoint, save_safetensors
from lib.runtime.escapes import printable_lines
from lib.runtime.locks import only_writer
from lib.runtime.unpickling import read_inert


def convert_checkpoint(
    file: Path,
    config: str | None,
    out: Path,
    overrides: Iterable[str] = (),
    table: Path | None = None,
    force: bool = False,
    half: bool = False,
    merge: bool = False,
) -> str:
    """Write the weights of ``file`` under our names to ``out``, with the experiment's configuration, so that
    `tracking/test.py --checkpoint OUT` needs no other word; what was done, to print.

    Without ``config`` the file must be a checkpoint of ours. The names are turned by ``table`` first, see
    ``read_table``. ``out`` is plain: it loads with ``torch.load(weights_only=True)``. It names the
    file it is from under ``source``. An ``out`` that ends in ``.safetensors`` holds the weights alone, with experiment
    and source as texts in its head. With ``half`` the numbers are in half precision; with ``merge`` what is trained
    beside the weights is folded into them, and the configuration is that of the plain network. Raises ``ValueError``
    for a file that does not fit, for numbers beyond half precision and, without ``force``, for an ``out`` that is there
    already.
    """
    _check_out(out, file, force)
    experiment = _experiment(file, config, overrides)
    checksum = checksum_of(file)
    model, report = trained_model(experiment, file, read_table(table) if table else None, checksum)
    if merge:
        experiment = _merged(experiment, model)
    source = {"file": file.name, "sha256": checksum.removeprefix("sha256 ")}
    with only_writer(out):
        _check_out(out, file, force)  # another process may have written it by now
        weights = (_halved(model, file) if half else model).state_dict()
        if out.suffix == ".safetensors":
            save_safetensors(out, weights, {"experiment": to_tree(experiment), "source": source})
        else:
            save_checkpoint(out, {"experiment": to_tree(experiment), "model": weights, "source": source})
    return f"{file}: {report}\n{file}: {checksum}\n{out}: written, for {experiment.name}"


def _merged(experiment: ExperimentConfig, model: TrackingModel) -> ExperimentConfig:
    """Folds ``model``; the experiment whose network it is then."""
    config = experiment.model.folded()
    if config == experiment.model:
        raise CheckpointError(f"--merge: a network of {experiment.name} has nothing to merge; leave it out")
    model.fold()
    return experiment.model_copy(update={"model": config})


def _halved(model: nn.Module, file: Path) -> nn.Module:
    model.half()
    beyond = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if beyond:
        raise CheckpointError(f"{file}: numbers beyond half precision in {', '.join(beyond[:3])}; leave out --half")
    return model


def _check_out(out: Path, file: Path, force: bool) -> None:
    if out.exists() and (not force or out.samefile(file)):
        raise CheckpointError(f"{out}: is there already; name another file, or add --force to replace one")


def list_names(file: Path, config: str | None, overrides: Iterable[str] = ()) -> str:
    """The names, shapes and types of the weights in ``file``, and with ``config`` those of its network, as one needs
    them to write a table of names."""
    parts = [f"{file}:", *_lines(find_weights(read_inert(file), file))]
    if config:
        experiment = load_experiment(config, overrides)
        parts += [f"{experiment.name}:", *_lines(build_model(experiment).state_dict())]
    return printable_lines(parts)


def _experiment(file: Path, config: str | None, overrides: Iterable[str]) -> ExperimentConfig:
    return load_experiment(config, overrides) if config else experiment_of_checkpoint(file, overrides)


def _lines(weights: Mapping[str, Any]) -> list[str]:
    return [
        f"  {name}  {'x'.join(map(str, value.shape)) or 'scalar'}  {str(value.dtype).removeprefix('torch.')}"
        if hasattr(value, "shape")
        else f"  {name}  no tensor"
        for name, value in weights.items()
    ]
