"""The steps of a run as pure functions of their numbers: samples, groups and processes, and the learning rate."""

import math

from lib.config.schema import ConfigError
from lib.data.pairs import FIRST_VALIDATION_NUMBER, DataConfig
from lib.training.config import TrainConfig, WarmupConfig


class StepPlan:
    """The steps of a run, and the groups of a step over processes: contiguous blocks, the same number to each.

    Step s (from 0) takes samples ``s * G`` to ``s * G + G - 1`` for a global batch of G; its group k is the block of
    ``group_batch`` samples from ``s * G + k * group_batch``. Raises ConfigError if batches, samples, warm-up and
    processes do not fit each other.
    """

    def __init__(self, config: TrainConfig, data: DataConfig, processes: int) -> None:
        self.schedule, self.processes = config.schedule, processes
        self.global_batch, self.group_batch = config.global_batch, config.group_batch
        self.groups = self.global_batch // self.group_batch
        self.local_groups = self.groups // processes  # of each process in a step, one after the other
        self.steps_per_epoch, self.left_over = divmod(data.samples_per_epoch, self.global_batch)
        self.steps = self.steps_per_epoch * config.epochs
        assert self.steps, "an experiment has data.samples_per_epoch for a step or more"
        self.validation_groups = data.val_samples // self.group_batch
        if self.global_batch % self.group_batch:
            raise ConfigError(
                f"train.group_batch: {self.group_batch} does not divide train.global_batch {self.global_batch}; "
                f"nearest that do: {_nearest_divisors(self.global_batch, self.group_batch)}"
            )
        if self.groups % processes:
            raise ConfigError(
                f"{processes} processes cannot share {self.groups} groups of {self.group_batch} evenly "
                f"(train.global_batch {self.global_batch}); nearest that can: "
                f"{_nearest_divisors(self.groups, processes)}"
            )
        if data.val_samples and not self.validation_groups:
            raise ConfigError(f"data.val_samples: {data.val_samples} is less than train.group_batch {self.group_batch}")
        warmup = self.schedule.warmup
        if not isinstance(warmup, WarmupConfig):
            self.warmup = round(warmup * self.steps_per_epoch * config.epochs)
        else:
            self.warmup = warmup.steps or round(warmup.epochs * self.steps_per_epoch)
        if self.warmup >= self.steps:
            raise ConfigError(f"train.schedule.warmup: {self.warmup} steps, but the run has {self.steps}; shorten it")

    def numbers(self, step: int, rank: int) -> list[range]:
        """The sample numbers of each group that process ``rank`` takes in ``step``."""
        first = step * self.global_batch + rank * self.local_groups * self.group_batch
        starts = (first + group * self.group_batch for group in range(self.local_groups))
        return [range(start, start + self.group_batch) for start in starts]

    def validation_numbers(self, rank: int) -> list[range]:
        """The sample numbers of each validation group that process ``rank`` takes; the processes take turns."""
        mine = range(rank, self.validation_groups, self.processes)
        starts = (FIRST_VALIDATION_NUMBER + group * self.group_batch for group in mine)
        return [range(start, start + self.group_batch) for start in starts]

    def rate_factor(self, step: int) -> float:
        """The factor of every group's learning rate at ``step`` (from 0).

        The warm-up rises linearly and reaches 1 at its last step. ``drop_epoch: 240`` means that 240 epochs run at the
        full rate, as in the lineage's ``StepLR``.
        """
        schedule = self.schedule
        if step < self.warmup:
            return (step + 1) / self.warmup
        if schedule.kind == "step":
            return schedule.factor if step >= schedule.drop_epoch * self.steps_per_epoch else 1.0
        progress = (step - self.warmup) / (self.steps - self.warmup)
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2


def _nearest_divisors(number: int, wanted: int) -> str:
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    below = [d for d in divisors if d < wanted][-1:]
    return " or ".join(str(d) for d in below + [d for d in divisors if d > wanted][:1])
