"""Computes the loss of one group of samples, and decides which BatchNorm layers update their statistics."""

from collections import abc
from contextlib import contextmanager
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lib.data.batch import Batch
from lib.inference.settings import Precision
from lib.models.base import DTYPES, Normalize, TrackingModel
from lib.models.heads.base import Objective


class GroupResult(NamedTuple):
    """``loss``: the scalar to differentiate. ``values``: the logged numbers by name, detached: the loss, the terms and
    monitors of the objective, and the model's own monitors."""

    loss: Tensor
    values: dict[str, Tensor]


class Actor(nn.Module):
    """A model and its training objective. A batch is one group.

    Under ``bf16`` and ``fp16`` the model runs under autocast; its parts that need float32 leave autocast themselves.
    The objective always runs in float32.
    """

    def __init__(self, model: TrackingModel, objective: Objective, precision: Precision = "fp32") -> None:
        super().__init__()
        self.normalize, self.model = Normalize().to(next(model.parameters()).device), model
        self.objective = objective
        self.precision = precision

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but BatchNorm layers whose parameters are all frozen stay in eval mode: they
        normalize by their running statistics and do not update them."""
        super().train(mode)
        for layer in self.model.modules():
            own = list(layer.parameters(recurse=False))
            if isinstance(layer, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
                layer.eval()
        return self

    def forward(self, batch: Batch, epoch: int | None = None, count: Tensor | None = None) -> GroupResult:
        """``batch`` lies on the model's device. ``epoch``, from 0, is passed to the model. ``count``: the group's share
        of the step's denominator; None lets the objective count in the group."""
        template = self.normalize(batch.template, batch.template_gain)
        search = self.normalize(batch.search, batch.search_gain)
        with torch.autocast(search.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"):
            prediction = self.model(template, batch.template_box, search, epoch)
        result = self.objective(prediction, batch.search_box, count)
        values = {"loss": result.total, **result.terms, **result.monitors, **self.model.monitors(prediction)}
        return GroupResult(result.total, {name: value.detach() for name, value in values.items()})


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
