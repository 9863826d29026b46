"""Frozen parameters: which ones training leaves as they are, and the BatchNorm layers that rest with theirs."""

from __future__ import annotations

import re

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lib.config.schema import ConfigError
from lib.models.base import TrackingModel


def freeze(model: TrackingModel, family: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Takes the gradient from every parameter whose name begins as one of the patterns says; the names of these.

    ``family``: the patterns of the family's record; ``wanted``: those of ``train.frozen``. Raises ConfigError for a
    pattern of ``train.frozen`` that fits no name, and if no parameter is left to train.
    """
    parameters = dict(model.named_parameters())
    fitting = {pattern: [name for name in parameters if re.match(pattern, name)] for pattern in (*family, *wanted)}
    assert all(fitting[pattern] for pattern in family), "a pattern of the family's frozen parameters fits no name"
    if idle := [pattern for pattern in wanted if not fitting[pattern]]:
        raise ConfigError(
            f"train.frozen: {', '.join(map(repr, idle))} fits the beginning of no parameter's name; this model has "
            f"{', '.join([*parameters][:3])}, ..."
        )
    frozen = {name for names in fitting.values() for name in names}
    for name in frozen:
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError("train.frozen: freezes every parameter of this model; leave some to train")
    return tuple(name for name in parameters if name in frozen)


def rest_frozen_norms(module: nn.Module) -> None:
    """Puts the BatchNorm layers of ``module`` whose parameters are all frozen into eval form: they normalize by their
    running statistics and leave these as they are."""
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if isinstance(layer, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            layer.eval()
