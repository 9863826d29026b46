"""Groups: which samples a step takes, who computes which group, and whose batch statistics are remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lib.config.schema import ConfigError


@dataclass(frozen=True)
class Layout:
    """How the groups of a step are dealt to processes: in contiguous blocks, the same number to each.

    Step s (from 0) takes samples ``s * G`` to ``s * G + G - 1`` for a global batch of G, and its group k the block of
    ``group_batch`` samples from ``s * G + k * group_batch``. Raises ConfigError when something does not divide.
    """

    global_batch: int
    group_batch: int
    processes: int

    def __post_init__(self) -> None:
        if self.global_batch % self.group_batch:
            raise ConfigError(
                f"train.group_batch: {self.group_batch} does not divide train.global_batch {self.global_batch}; "
                f"nearest that do: {_nearest(self.global_batch, self.group_batch)}"
            )
        if self.groups % self.processes:
            raise ConfigError(
                f"{self.processes} processes cannot share {self.groups} groups of {self.group_batch} evenly "
                f"(train.global_batch {self.global_batch}); nearest that can: {_nearest(self.groups, self.processes)}"
            )

    @property
    def groups(self) -> int:
        """Groups in a step."""
        return self.global_batch // self.group_batch

    @property
    def local_groups(self) -> int:
        """Groups that each process takes in a step, one after the other (accumulation)."""
        return self.groups // self.processes

    def numbers(self, step: int, rank: int) -> list[range]:
        """The sample numbers of each group that process ``rank`` takes in ``step``."""
        first = step * self.global_batch + rank * self.local_groups * self.group_batch
        starts = (first + group * self.group_batch for group in range(self.local_groups))
        return [range(start, start + self.group_batch) for start in starts]


@contextmanager
def running_statistics(model: nn.Module, update: bool) -> Iterator[None]:
    """Inside the block, BatchNorm layers remember the statistics of what passes through only if ``update``.

    The published runs keep rank 0's, updated once a step. So only the first group of a step is remembered, on rank 0,
    and the result does not depend on how many groups a process takes. Each group is normalised by its own either way.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = update
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _nearest(number: int, wanted: int) -> str:
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    below = [d for d in divisors if d < wanted][-1:]
    return " or ".join(str(d) for d in below + [d for d in divisors if d > wanted][:1])
