"""The trained and the frozen parameters of a model, and AdamW over its groups, each with its own learning rate."""

import re
from typing import Literal

from torch import nn
from torch.optim import AdamW

from lib.config.schema import ConfigError
from lib.models.base import TrackingModel
from lib.training.config import OptimizerConfig


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


def build_optimizer(model: TrackingModel, config: OptimizerConfig) -> AdamW:
    """An optimizer with the parameter groups of the model, in its order, each with ``name`` and ``base_lr``.

    A group whose parameters are all frozen stays, empty. Parameters that match ``no_decay`` form another group of the
    same name after it. Raises ConfigError for a factor of an unknown group and a pattern that matches no parameter.
    """
    groups = model.parameter_groups()
    unknown = [name for name in config.lr_factors if name not in groups]
    if unknown:
        raise ConfigError(
            f"train.optimizer.lr_factors: no parameter group {', '.join(unknown)}; this model has {', '.join(groups)}"
        )
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    grouped = sorted(name for names in groups.values() for name in names)
    assert grouped == sorted(parameters), "parameter_groups() must hold every trainable parameter once"
    undecayed = names_fitting(model, config.no_decay, "train.optimizer.no_decay")
    parts = []
    for name, names in groups.items():
        rate = config.lr * config.lr_factors.get(name, 1.0)
        part = {"name": name, "lr": rate, "base_lr": rate}
        parts.append({**part, "params": [parameters[n] for n in names if n not in undecayed]})
        if undecayed.intersection(names):
            parts.append({**part, "params": [parameters[n] for n in names if n in undecayed], "weight_decay": 0.0})
    return AdamW(parts, weight_decay=config.weight_decay)


def named_rates(optimizer: AdamW, kind: Literal["lr", "base_lr"]) -> dict[str, float]:
    """The learning rate of each group by name, now ("lr") or without the schedule's factor ("base_lr")."""
    return {group["name"]: group[kind] for group in optimizer.param_groups}
