"""Gradients over several processes: equal parameters everywhere, gradients averaged, rank 0's buffers shared."""

import warnings
from collections import abc
from contextlib import nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lib.data.batch import Batch
from lib.runtime.process import Process, lost_processes
from lib.training.actor import Actor, GroupResult


class Replicas:
    """Computes gradients with the actor that every process holds. The first makes parameters and buffers equal to rank
    0's, and is collective, as every other call."""

    def __init__(self, actor: Actor, process: Process) -> None:
        self._process, self._actor = process, actor
        if process.world > 1:
            self.broadcast_buffers(actor)
            # Strides of 1x1 convolutions have no meaning, and the copy it warns of has a few hundred numbers.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            self._actor = DistributedDataParallel(_Shared(actor), broadcast_buffers=False)
            self._settle_buckets()

    def add_gradient(
        self, batch: Batch, epoch: int, count: Tensor | None, weigh: abc.Callable[[Tensor], Tensor], last: bool
    ) -> GroupResult:
        """Adds the gradient of the group's loss, which ``weigh`` multiplies. After the ``last`` group of a step, the
        gradients are averaged over processes. ``count``: see ``Actor.forward``."""
        alone = last or self._process.world == 1
        with lost_processes(), nullcontext() if alone else self._actor.no_sync():
            result = self._actor(batch, epoch, count)
            weigh(result.loss).backward()
        return result

    def broadcast_buffers(self, module: nn.Module) -> None:
        """Copies rank 0's buffers of ``module``, such as running statistics, to every process."""
        if self._process.world > 1:
            with lost_processes():
                for buffer in module.buffers():
                    dist.broadcast(buffer, 0)

    def _settle_buckets(self) -> None:
        """Runs one backward pass without samples before the first step.

        DistributedDataParallel sums gradients in buckets and rearranges them after its first synchronized backward
        pass. The arrangement decides in which order three or more processes are summed. Without this pass, the first
        step after a resume would be summed in another order than in a run that never stopped.
        ``find_unused_parameters`` prevents the rearrangement too, but walks the graph at every step.
        """
        self._actor(None).backward()
        self._actor.zero_grad(set_to_none=True)


class _Shared(nn.Module):
    """The actor; without a batch, a scalar that depends on every trainable parameter, the first one last."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.actor = actor

    def forward(
        self, batch: Batch | None, epoch: int | None = None, count: Tensor | None = None
    ) -> GroupResult | Tensor:
        if batch is not None:
            return self.actor(batch, epoch, count)
        return torch.stack([parameter.sum() for parameter in self.parameters() if parameter.requires_grad]).sum()
