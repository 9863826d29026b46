"""The body of `tracking/convert_checkpoint.py`: released checkpoints in our plain form."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from lib.experiment.build import build_model, experiment_of_checkpoint, trained_model
from lib.experiment.config import load_experiment, to_tree
from lib.models.weights.released import find_weights
from lib.models.weights.renaming import read_table
from lib.runtime.checkpoint import CheckpointError, checksum_of, save_checkpoint, save_safetensors
from lib.runtime.escapes import printable_lines
from lib.runtime.locks import only_writer
from lib.runtime.program import RequestError, TextResult
from lib.runtime.unpickling import read_inert


def convert_checkpoint(
    file: Path,
    config: str | None,
    out: Path | None,
    overrides: Iterable[str] = (),
    rename: Path | None = None,
    force: bool = False,
    half: bool = False,
    merge: bool = False,
) -> TextResult:
    """Write the weights of ``file`` under our names to ``out``, with the experiment's configuration, so that
    ``tracking/test.py --checkpoint OUT`` needs no other argument. Without ``out`` list names, shapes and types of the
    weights in ``file`` and, with ``config``, of its network: the material for a table of names (``read_table``).

    Without ``config`` the file must be a checkpoint of ours. ``out`` loads with ``torch.load(weights_only=True)`` and
    names its origin under ``source``; one that ends in ``.safetensors`` has experiment and source as texts in its head.
    After ``merge`` the configuration is the plain network's. Raises ``ValueError`` for a file that does not fit, for
    numbers beyond half precision and, without ``force``, for an ``out`` that exists.
    """
    if out is None:
        if rename or force or half or merge:
            raise RequestError("--rename, --half, --merge and --force go with --out")
        return TextResult(_list_names(file, config, overrides))
    _check_out(out, file, force)
    experiment = load_experiment(config, overrides) if config else experiment_of_checkpoint(file, overrides)
    checksum = checksum_of(file)
    model, report = trained_model(experiment, file, read_table(rename) if rename else None, checksum)
    if merge:
        folded = experiment.model.folded()
        if folded == experiment.model:
            raise CheckpointError(f"--merge: a network of {experiment.name} has nothing to merge; leave it out")
        model.fold()
        experiment = experiment.model_copy(update={"model": folded})
    if half:
        model.half()
        beyond = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
        if beyond:
            raise CheckpointError(f"{file}: numbers beyond half precision in {', '.join(beyond[:3])}; leave out --half")
    source = {"file": file.name, "sha256": checksum.removeprefix("sha256 ")}
    with only_writer(out):
        _check_out(out, file, force)  # another process may have written it by now
        weights = model.state_dict()
        if out.suffix == ".safetensors":
            save_safetensors(out, weights, {"experiment": to_tree(experiment), "source": source})
        else:
            save_checkpoint(out, {"experiment": to_tree(experiment), "model": weights, "source": source})
    return TextResult(f"{file}: {report}\n{file}: {checksum}\n{out}: written, for {experiment.name}")


def _check_out(out: Path, file: Path, force: bool) -> None:
    if out.exists() and (not force or out.samefile(file)):
        raise CheckpointError(f"{out}: is there already; name another file, or add --force to replace one")


def _list_names(file: Path, config: str | None, overrides: Iterable[str]) -> str:
    parts = [f"{file}:", *_lines(find_weights(read_inert(file), file))]
    if config:
        experiment = load_experiment(config, overrides)
        parts += [f"{experiment.name}:", *_lines(build_model(experiment).state_dict())]
    return printable_lines(parts)


def _lines(weights: Mapping[str, Any]) -> list[str]:
    return [
        f"  {name}  {'x'.join(map(str, value.shape)) or 'scalar'}  {str(value.dtype).removeprefix('torch.')}"
        if hasattr(value, "shape")
        else f"  {name}  no tensor"
        for name, value in weights.items()
    ]
