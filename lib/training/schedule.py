"""The learning rate's factor as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from lib.config.schema import Section


class StepScheduleConfig(Section):
    """Constant, times ``factor`` from the end of epoch ``drop_epoch`` on. ``warmup``: share of all steps."""

    kind: Literal["step"]
    drop_epoch: int = Field(gt=0)
    factor: float = Field(default=0.1, gt=0)
    warmup: float = Field(default=0.0, ge=0, lt=1)


class CosineScheduleConfig(Section):
    """Half a cosine from 1 down to ``final`` after the warm-up. ``warmup``: share of all steps."""

    kind: Literal["cosine"]
    warmup: float = Field(default=0.05, ge=0, lt=1)
    final: float = Field(default=0.0, ge=0)


ScheduleConfig = Annotated[StepScheduleConfig | CosineScheduleConfig, Field(discriminator="kind")]


def rate_factor(
    config: StepScheduleConfig | CosineScheduleConfig, step: int, steps_per_epoch: int, epochs: int
) -> float:
    """What every group's learning rate is multiplied by at ``step`` (from 0).

    The warm-up rises linearly and reaches 1 with its last step. ``drop_epoch: 240`` means that 240 epochs run at the
    full rate, as in the lineage's ``StepLR``.
    """
    steps = steps_per_epoch * epochs
    warmup = round(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.kind == "step":
        return config.factor if step >= config.drop_epoch * steps_per_epoch else 1.0
    progress = (step - warmup) / (steps - warmup)
    return config.final + (1 - config.final) * (1 + math.cos(math.pi * progress)) / 2
