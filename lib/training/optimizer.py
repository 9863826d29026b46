"""AdamW over a model's parameter groups, each with its own learning rate."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch.optim import AdamW

from lib.config.schema import ConfigError, NamePattern, Section
from lib.models.base import TrackingModel
from lib.training.frozen import names_fitting


class OptimizerConfig(Section):
    """AdamW.

    * ``lr_factors``: factors of ``lr`` by parameter group of the model (``model.parameter_groups()``), 1 by default.
      GRM: ``{backbone: 0.1}``.
    * ``no_decay``: patterns of parameters without weight decay; each must match the beginning of a name. All decay by
      default; ``[".*bias$", ".*norm"]`` excludes biases and norms.
    """

    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    lr_factors: dict[str, PositiveFloat] = Field(default_factory=dict)
    no_decay: tuple[NamePattern, ...] = ()


def build_optimizer(model: TrackingModel, config: OptimizerConfig) -> AdamW:
    """An optimizer with one parameter group for each of the model's, in its order, with ``name`` and ``base_lr``.

    A group whose parameters are all frozen stays, empty. Parameters that ``no_decay`` names form another group of the
    same name after it. Raises ConfigError for a factor of an unknown group and a pattern that fits no parameter.
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


def set_rates(optimizer: AdamW, factor: float) -> None:
    """Sets every group's learning rate to ``factor`` times its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def named_rates(optimizer: AdamW, kind: Literal["lr", "base_lr"]) -> dict[str, float]:
    """The learning rate of each group by name, now ("lr") or without the schedule's factor ("base_lr")."""
    return {group["name"]: group[kind] for group in optimizer.param_groups}
