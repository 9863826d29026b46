"""The factor of the learning rate as a pure function of the step; a resumed run needs no scheduler state."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lib.config.schema import Section


class WarmupConfig(Section):
    """Length of the warm-up, in ``epochs`` (fractions allowed) or in ``steps``."""

    epochs: PositiveFloat | None = None
    steps: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("should be a share of all steps, or a mapping with one of epochs and steps")
        return self


ShareOfSteps = Annotated[float, Field(ge=0, lt=1)]


class StepScheduleConfig(Section):
    """Constant until the end of epoch ``drop_epoch``, then multiplied by ``factor``. ``warmup``: share of all steps,
    ``{epochs: 2}`` or ``{steps: 2000}``."""

    kind: Literal["step"]
    drop_epoch: int = Field(gt=0)
    factor: float = Field(default=0.1, gt=0)
    warmup: ShareOfSteps | WarmupConfig = 0.0


class CosineScheduleConfig(Section):
    """Half a cosine from 1 to ``final`` after the warm-up. ``warmup``: share of all steps, ``{epochs: 2}`` or ``{steps:
    2000}``."""

    kind: Literal["cosine"]
    warmup: ShareOfSteps | WarmupConfig = 0.05
    final: float = Field(default=0.0, ge=0)


ScheduleConfig = Annotated[StepScheduleConfig | CosineScheduleConfig, Field(discriminator="kind")]


def rate_factor(
    config: StepScheduleConfig | CosineScheduleConfig, step: int, steps_per_epoch: int, epochs: int
) -> float:
    """The factor of every group's learning rate at ``step`` (from 0).

    The warm-up rises linearly and reaches 1 at its last step. ``drop_epoch: 240`` means that 240 epochs run at the full
    rate, as in the lineage's ``StepLR``.
    """
    steps = steps_per_epoch * epochs
    warmup = warmup_steps(config.warmup, steps_per_epoch, epochs)
    if step < warmup:
        return (step + 1) / warmup
    if config.kind == "step":
        return config.factor if step >= config.drop_epoch * steps_per_epoch else 1.0
    progress = (step - warmup) / (steps - warmup)
    return config.final + (1 - config.final) * (1 + math.cos(math.pi * progress)) / 2


def warmup_steps(warmup: float | WarmupConfig, steps_per_epoch: int, epochs: int) -> int:
    """Length of the warm-up in steps."""
    if not isinstance(warmup, WarmupConfig):
        return round(warmup * steps_per_epoch * epochs)
    return warmup.steps or round(warmup.epochs * steps_per_epoch)
