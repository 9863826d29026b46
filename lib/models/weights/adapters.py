"""Adapter files: they hold the trained tensors, and the checksum of the frozen initial weights that they lack."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lib.models.base import TrackingModel
from lib.runtime.checkpoint import CheckpointError


class FrozenWeights(NamedTuple):
    """The initial weights that a family leaves frozen: the value of ``model.pretrained``, the ``names`` of the
    parameters that they fill, and ``load``, which loads them into a model; None if they are in it already."""

    pretrained: str
    names: frozenset[str]
    load: Callable[[TrackingModel], object] | None = None


def frozen_names(model: TrackingModel, config: Any) -> frozenset[str]:
    """The names of the parameters that the family's record freezes."""
    patterns = model.family.frozen(config)
    return frozenset(name for name, _ in model.named_parameters() if any(re.match(p, name) for p in patterns))


def sum_of_weights(weights: Mapping[str, Tensor], names: Iterable[str]) -> str:
    """The sha256 of the bytes of the named tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(weights[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def complete(
    model: TrackingModel, weights: Mapping[str, Tensor], frozen: FrozenWeights | None, stated: Any, source: Path | str
) -> dict[str, Tensor]:
    """The ``weights`` of a file, completed with the frozen ones if it lacks them.

    ``stated``: the file's own key ``beneath``, ``{"pretrained": name, "sha256": sum}``, or None. A file without it, as
    others publish them, is completed if it lacks exactly the frozen parameters. Raises CheckpointError if nothing is
    frozen, or if the file was trained over other weights.
    """
    missing = model.state_dict().keys() - weights.keys()
    if not missing or (stated is None and (frozen is None or missing != frozen.names)):
        return dict(weights)
    if frozen is None:
        raise CheckpointError(f"{source}: holds trained tensors alone, but nothing is frozen under this configuration")
    try:
        if frozen.load is not None:
            frozen.load(model)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source}: holds trained tensors alone, and the frozen weights are missing: {error}"
        ) from error
    own = model.state_dict()
    if stated is not None:
        found, wanted = sum_of_weights(own, missing), stated.get("sha256") if isinstance(stated, dict) else None
        if found != wanted:
            raise CheckpointError(
                f"{source}: was trained over weights of sha256 {wanted}, but those of model.pretrained "
                f"{frozen.pretrained} have {found}; name the former"
            )
    return {**{name: own[name] for name in missing}, **weights}
