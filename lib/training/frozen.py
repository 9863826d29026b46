"""Frozen parameters, and the BatchNorm layers whose statistics training leaves alone."""

import re
from collections import abc
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lib.config.schema import ConfigError
from lib.models.base import TrackingModel


def freeze(model: TrackingModel, family: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """Freezes every parameter whose name matches a pattern at its beginning.

    ``family``: patterns of the family's record; ``wanted``: those of ``train.frozen``. Raises ConfigError for a pattern
    that fits no name, and if no parameter is left to train.
    """
    frozen = names_fitting(model, family, "Family.frozen") | names_fitting(model, wanted, "train.frozen")
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError("train.frozen: freezes every parameter of this model; leave some to train")


def names_fitting(model: nn.Module, patterns: tuple[str, ...], key: str) -> set[str]:
    """The names of parameters whose beginning matches any of the patterns. Raises ConfigError, naming ``key``, for a
    pattern that matches none."""
    names = [name for name, _ in model.named_parameters()]
    fitting = {pattern: {name for name in names if re.match(pattern, name)} for pattern in patterns}
    if idle := [pattern for pattern in patterns if not fitting[pattern]]:
        raise ConfigError(
            f"{key}: {', '.join(map(repr, idle))} fits the beginning of no parameter's name; this model has "
            f"{', '.join(names[:3])}, ..."
        )
    return set().union(*fitting.values())


def rest_frozen_norms(module: nn.Module) -> None:
    """Puts the BatchNorm layers of ``module`` whose parameters are all frozen into eval mode: they normalize by their
    running statistics and do not update them."""
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if isinstance(layer, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            layer.eval()


@contextmanager
def running_statistics(model: nn.Module, update: bool) -> abc.Iterator[None]:
    """Inside the block, BatchNorm layers update their running statistics only if ``update``.

    The published runs keep rank 0's, updated once a step. So only the first group of a step updates them, on rank 0,
    and the result does not depend on the number of groups a process takes. Each group is normalized by its own
    statistics either way.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = update
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
