"""What is done with one group of samples: normalize, predict, judge."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lib.data.batch import Batch
from lib.losses.objective import Objective
from lib.models.base import TrackingModel, normalize
from lib.training.frozen import rest_frozen_norms

Precision = Literal["fp32", "bf16", "fp16"]
_AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class GroupResult(NamedTuple):
    """``loss``: the scalar to differentiate. ``values``: what is logged of the group, detached, by name: the terms and
    monitors of the objective, and the model's own monitors."""

    loss: Tensor
    values: dict[str, Tensor]


class Actor(nn.Module):
    """A model and the objective it is trained on. The batch given is the group: its means and counts are the loss's.

    Under ``bf16`` and ``fp16`` the model runs in autocast, what must stay float32 sees to it itself; the objective runs
    outside.
    """

    def __init__(self, model: TrackingModel, objective: Objective, precision: Precision = "fp32") -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.precision = precision

    def train(self, mode: bool = True) -> Actor:
        """As ``nn.Module``'s, but for BatchNorm layers whose parameters are frozen: these stay in eval form."""
        super().train(mode)
        rest_frozen_norms(self.model)
        return self

    @property
    def counts_steps(self) -> bool:
        """Whether the groups of a step share one denominator, which ``count`` is for."""
        return self.objective.counts_steps

    def count(self, batch: Batch) -> Tensor:
        """What the objective counts in a batch, an integer scalar."""
        return self.objective.count(batch.search_box, self.model.box_head.grid)

    def forward(self, batch: Batch, epoch: int | None = None, count: Tensor | None = None) -> GroupResult:
        """``batch`` lies on the device of the model; ``epoch``, from 0, is passed on to it. ``count``: the group's
        share of what the objective counts in the whole step; None has it count in the group."""
        template = normalize(batch.template, batch.template_gain)
        search = normalize(batch.search, batch.search_gain)
        reduced = _AUTOCAST[self.precision]
        with torch.autocast(search.device.type, reduced, enabled=reduced is not None):
            prediction = self.model(template, batch.template_box, search, epoch)
        shared = {} if count is None else {"count": count}
        result = self.objective(prediction, batch.search_box, **shared)
        values = {"loss": result.total, **result.terms, **result.monitors, **self.model.monitors(prediction)}
        return GroupResult(result.total, {name: value.detach() for name, value in values.items()})
