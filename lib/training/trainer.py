"""The training run: from the newest checkpoint, or the start, to the last epoch, or to where it is stopped."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from lib.config.paths import user_path
from lib.config.schema import ConfigError, NamePattern, Section
from lib.config.yaml12 import to_yaml
from lib.data.batch import Batch
from lib.data.pairs import FIRST_VALIDATION_NUMBER, Pairs
from lib.models.adapters import Base, over_base, sum_of_weights
from lib.models.base import TrackingModel
from lib.models.released import load_file
from lib.runtime.checkpoint import CheckpointError, load_weights
from lib.runtime.files import write_text
from lib.runtime.process import Process
from lib.runtime.seeds import seed_network
from lib.runtime.stop import StopRequested, StopSignals
from lib.training.actor import Actor, Precision
from lib.training.checkpoints import Checkpoints
from lib.training.finite import check_finite
from lib.training.groups import Layout, running_statistics
from lib.training.optimizer import OptimizerConfig, build_optimizer, named_rates, set_rates
from lib.training.progress import Draws, Meter, Part, Progress
from lib.training.replicas import Replicas
from lib.training.schedule import ScheduleConfig, rate_factor, warmup_steps
from lib.training.supply import Supply

logger = logging.getLogger(__name__)


class TrainConfig(Section):
    """How a network is trained.

    * ``global_batch``: pairs in one optimiser step; ``group_batch``: pairs that BatchNorm statistics and loss
      denominators belong to. Gradients are averaged over groups, then clipped to the norm ``clip_norm``, or taken as
      they are where it is null (TransT).
    * ``precision``: "bf16" and "fp16" run the network in autocast; the loss of "fp16" is scaled, and a step whose
      gradient overflows is skipped, counted as ``overflows`` and followed by a smaller scale.
    * ``compile``: runs the network through ``torch.compile``, which takes minutes for its first steps and is faster
      afterwards; for networks whose shapes do not change.
    * ``ema``: decay of an exponential moving average of the weights, such as 0.9999; the average is validated, tested
      and exported. Null: the weights themselves are.
    * ``frozen``: patterns of parameters that are not trained; each must fit the beginning of a name. BatchNorm layers
      whose parameters are frozen keep their statistics. The family's record may freeze more.
    * ``checkpoint_minutes``: time between checkpoints inside an epoch; ``keep``: how many of the epochs' stay.
    * ``validate_every``: epochs between validations, if there are held-out pairs; the last epoch always has one.
    * ``init_from``: a checkpoint, ours or a released one, whose weights a new run starts from (fine-tuning; resuming
      needs no key).
    * ``log_every``: steps between lines of the log.
    """

    epochs: PositiveInt
    global_batch: PositiveInt
    group_batch: PositiveInt
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    clip_norm: PositiveFloat | None
    precision: Precision = "fp32"
    compile: bool = False
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    frozen: tuple[NamePattern, ...] = ()
    checkpoint_minutes: PositiveFloat = 20.0
    keep: PositiveInt = 3
    validate_every: PositiveInt = 1
    init_from: str | None = None
    log_every: PositiveInt = 50


class TrainingEnd(NamedTuple):
    """How a run ended: all its epochs done, or stopped by ``signal`` after ``step`` steps."""

    finished: bool
    step: int
    signal: int = 0

    @property
    def exit_code(self) -> int:
        """0 if finished, else 128 and the signal's number, as shells count."""
        return 0 if self.finished else 128 + self.signal


class Trainer:
    """Trains the model of ``actor`` and leaves log, configuration and checkpoints under ``output``.

    ``experiment`` is the resolved configuration as a plain tree: it is written beside the run and into checkpoints, and
    a run that goes on must have the same. ``resolve`` gives the tree of an earlier version the keys that it lacks.
    ``base``: the frozen weights that lie beneath the trained ones from the start, which no checkpoint then repeats.
    ``overfit`` repeats the samples of the first step and always starts anew.
    Raises ConfigError if the batches, the samples and the number of processes do not fit each other. Every process
    makes its own Trainer with equal arguments, but for ``process``. No other run may write ``output`` meanwhile
    (``lib.runtime.locks``).
    """

    def __init__(
        self,
        actor: Actor,
        train_pairs: Pairs,
        val_pairs: Pairs | None,
        config: TrainConfig,
        *,
        samples_per_epoch: int,
        val_samples: int,
        workers: int,
        seed: int,
        experiment: dict[str, Any],
        output: Path,
        process: Process,
        resolve: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        base: Base | None = None,
        overfit: bool = False,
    ) -> None:
        self.config, self.process, self.seed, self.workers = config, process, seed, workers
        self.train_pairs, self.val_pairs = train_pairs, None if overfit else val_pairs
        self.experiment, self.overfit, self.output = experiment, overfit, output
        self.layout = Layout(config.global_batch, config.group_batch, process.world)
        self.steps_per_epoch, self.left_over = divmod(samples_per_epoch, config.global_batch)
        self.steps = self.steps_per_epoch * config.epochs
        self.val_groups = val_samples // config.group_batch
        if not self.steps_per_epoch:
            raise ConfigError(
                f"data.samples_per_epoch: {samples_per_epoch} is less than train.global_batch {config.global_batch}"
            )
        if self.val_pairs is not None and not self.val_groups:
            raise ConfigError(f"data.val_samples: {val_samples} is less than train.group_batch {config.group_batch}")
        warmup = warmup_steps(config.schedule.warmup, self.steps_per_epoch, config.epochs)
        if warmup >= self.steps:
            raise ConfigError(f"train.schedule.warmup: {warmup} steps, but the run has {self.steps}; shorten it")
        self.actor = actor.to(process.device)
        self.optimizer = build_optimizer(actor.model, config.optimizer)
        self.scaler = torch.amp.GradScaler(process.device.type, enabled=config.precision == "fp16")
        self.average = None if config.ema is None else ModelEmaV3(actor.model, decay=config.ema)
        self.checkpoints = Checkpoints(self.output / "checkpoints", experiment, config.keep, resolve)
        self.base, self._base_sum = base, ""
        if base is not None:
            self._base_sum = sum_of_weights(actor.model.state_dict(), base.names)
        self.step, self.epoch = 0, 0  # finished ones
        self._draws = Draws()

    def run(self) -> TrainingEnd:
        """Trains to the end, or until SIGINT or SIGTERM: then a checkpoint is saved, and a Trainer made as this one was
        goes on from it as if nothing had been. Raises CheckpointError and NonFiniteError."""
        with StopSignals() as self._signals:
            self._restore()
            if self.epoch == self.config.epochs:
                logger.info("%s: training is complete already, %d epochs", self.output, self.epoch)
                return TrainingEnd(True, self.step)
            self._announce()
            if self.config.compile:
                self.actor.model.forward = torch.compile(self.actor.model.forward, dynamic=False)
            self._replicas = Replicas(self.actor, self.process)
            with self._start_progress() as self._progress:
                try:
                    self._train()
                    end = TrainingEnd(True, self.step)
                except StopRequested as stop:
                    self._save()
                    self._tell_draws("training", self._draws)
                    logger.info("%s at step %d of %d; the same command goes on from there", stop, self.step, self.steps)
                    end = TrainingEnd(False, self.step, stop.signal)
            self.process.gather(None)  # nobody leaves before rank 0 has written
            return end

    def _train(self) -> None:
        supply = self._supply(self.train_pairs, self._group_numbers(self.step))
        self._saved_at = time.monotonic()
        while self.epoch < self.config.epochs:
            while self.step < (self.epoch + 1) * self.steps_per_epoch:
                start = time.perf_counter()
                values = self._train_step(supply)
                rates, seconds = named_rates(self.optimizer, "lr"), time.perf_counter() - start
                self._progress.trained(self.step, self.epoch + 1, values, rates, seconds)
                if time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes:
                    self._save()
            self._tell_draws("training", self._draws)
            if self._validation_is_due():
                self._validate()
            self.epoch += 1
            self._save(epoch_ended=True)

    def _train_step(self, supply: Supply) -> list[dict[str, Tensor]]:
        """One step of the optimiser; the values of this process's groups."""
        self.actor.train()
        groups, values = [], []
        buffers = [buffer.clone() for buffer in self.actor.buffers()]
        ready: list[Batch] = []
        count = None
        for group in range(self.layout.local_groups):
            try:
                while len(ready) <= group or (self.actor.counts_steps and len(ready) < self.layout.local_groups):
                    ready.append(supply.take())
            except StopRequested:
                self._discard_groups(buffers)
                raise
            if self.actor.counts_steps and count is None:
                count = self._share_of_count(ready)
            batch = ready[group]
            seed_network(self.seed, batch.numbers[0])
            with running_statistics(self.actor, update=self.process.is_main and group == 0):
                result = self._replicas.add_gradient(
                    batch,
                    self.epoch,
                    share=1 / self.layout.local_groups,
                    last=group == self.layout.local_groups - 1,
                    scale=self.scaler.scale,
                    count=count,
                )
            groups.append((batch, result.loss))
            values.append(result.values)
        factor = rate_factor(self.config.schedule, self.step, self.steps_per_epoch, self.config.epochs)
        set_rates(self.optimizer, factor)
        overflows = self._step_optimizer(groups)
        if self.scaler.is_enabled():
            values[0]["overflows"] = torch.tensor(overflows if self.process.is_main else 0)
        if self.average is not None:
            self.average.update(self.actor.model)
        self.step += 1
        for batch, _ in groups:
            self._draws.add(batch)
        return values

    def _share_of_count(self, batches: list[Batch]) -> Tensor:
        """What the objective counts in a step, in the batches of all processes, for each of its groups. Collective."""
        own = sum(int(self.actor.count(batch)) for batch in batches)
        total = sum(self.process.gather(own))
        return torch.tensor(total / self.layout.groups, device=self.process.device)

    def _step_optimizer(self, groups: list[tuple[Batch, Tensor]]) -> int:
        """Moves the weights by the gradients that lie there; the number of overflows, for which nothing is moved."""
        enlarged = self.scaler.is_enabled() and self.scaler.get_scale() > 1  # otherwise the gradient itself is at fault
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.actor.parameters(), self.config.clip_norm or math.inf)  # inf multiplies by 1
        finite = check_finite(self.process, self.step, groups, norm, may_overflow=enlarged)
        if finite:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return int(not finite)

    def _discard_groups(self, buffers: list[Tensor]) -> None:
        """Makes undone what the first groups of a step have done: gradients, and the buffers as they were before."""
        self.optimizer.zero_grad()
        for buffer, value in zip(self.actor.buffers(), buffers, strict=True):
            buffer.copy_(value)

    def _validation_is_due(self) -> bool:
        epoch = self.epoch + 1
        return self.val_pairs is not None and (epoch % self.config.validate_every == 0 or epoch == self.config.epochs)

    @torch.no_grad()
    def _validate(self) -> None:
        """Losses on held-out pairs, in whole groups that are dealt to the processes in turn."""
        judged = self._judged()
        self._replicas.broadcast_buffers(judged)
        judged.eval()
        size, world = self.config.group_batch, self.process.world
        starts = [FIRST_VALIDATION_NUMBER + group * size for group in range(self.process.rank, self.val_groups, world)]
        supply = self._supply(self.val_pairs, [range(start, start + size) for start in starts])
        meter, draws = Meter(), Draws()
        for _ in range(0, self.val_groups, world):  # the same number of times in every process
            batch = supply.take()
            if batch is not None:
                meter.add(judged(batch, self.epoch).values)
                draws.add(batch)
        self._progress.validated(self.step, self.epoch + 1, meter.read(self.process))
        self._tell_draws("validation", draws)

    def _judged(self) -> Actor:
        """The actor whose network is validated: that of the averaged weights, if there are some."""
        if self.average is None:
            return self.actor
        return Actor(self.average.module, self.actor.objective, self.actor.precision)

    def _tell_draws(self, part: Part, draws: Draws) -> None:
        """What the samples of a part of this epoch said of the data, in all processes."""
        self._progress.drawn(part, self.step, self.epoch + 1, draws.read(self.process))

    def _group_numbers(self, first: int) -> Iterator[range]:
        """The sample numbers of this process's groups from step ``first`` to the end of the run."""
        for step in range(first, self.steps):
            yield from self.layout.numbers(0 if self.overfit else step, self.process.rank)

    def _supply(self, pairs: Pairs, groups: Iterable[range]) -> Supply:
        return Supply(pairs, groups, self.workers, self.process, self._signals)

    def _restore(self) -> None:
        """Goes back to the newest checkpoint of this run, or to the weights of ``init_from``, or does nothing."""
        newest = None if self.overfit else self.checkpoints.newest()
        if newest is not None:
            path, state = newest
            parts = {"model": self._judged().model} | ({"unaveraged": self.actor.model} if self.average else {})
            for key, module in parts.items():
                load_weights(module, over_base(module, state[key], self.base, state.get("beneath"), path), path)
            try:
                self.optimizer.load_state_dict(state["optimizer"])
                if self.scaler.is_enabled():
                    self.scaler.load_state_dict(state["scaler"])
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise CheckpointError(
                    f"{path}: its optimizer is not this run's ({error}); remove it, or train under another --name"
                ) from error
            self.step, self.epoch = state["step"], state["epoch"]
            logger.info("going on from %s, step %d of %d", path, self.step, self.steps)
            if state["processes"] != self.process.world:
                logger.warning(
                    "this run had %d processes and now has %d: the result will be equal within rounding only",
                    *(state["processes"], self.process.world),
                )
        elif self.config.init_from is not None:
            path = user_path(self.config.init_from)
            try:
                load_file(self.actor.model, path, base=self.base)
            except CheckpointError as error:
                raise CheckpointError(f"train.init_from: {error}") from error
            if self.average is not None:
                self.average.set(self.actor.model)
            logger.info("weights from %s", path)
        # A run that was fine-tuned from a whole file may have other frozen weights than its ``model.pretrained``.
        weights = self.actor.model.state_dict()
        self._over_base = self.base is not None and sum_of_weights(weights, self.base.names) == self._base_sum
        steps = self.process.gather(self.step)
        if len(set(steps)) > 1:
            raise CheckpointError(
                f"{self.checkpoints.folder}: processes would go on from different steps {steps}; it must lie on a disk "
                "that all of them see"
            )

    def _announce(self) -> None:
        config, layout = self.config, self.layout
        logger.info("%d epochs of %d steps, %d steps in all", config.epochs, self.steps_per_epoch, self.steps)
        logger.info(
            "global batch %d in %d groups of %d; processes: %d, groups that each takes a step (accumulation): %d",
            *(config.global_batch, layout.groups, config.group_batch, layout.processes, layout.local_groups),
        )
        rates = ", ".join(f"{name} {rate:g}" for name, rate in named_rates(self.optimizer, "base_lr").items())
        logger.info("lr: %s; %s on %s", rates, config.precision, self.process.device)
        parameters = list(self.actor.model.parameters())
        if frozen := [parameter for parameter in parameters if not parameter.requires_grad]:
            logger.info(
                "frozen: %d of %d parameter tensors, %.1f of %.1f million numbers",
                *(len(frozen), len(parameters), _millions(frozen), _millions(parameters)),
            )
        if self.left_over:
            logger.info(
                "data.samples_per_epoch is %d more than whole steps; an epoch is shorter by that", self.left_over
            )

    def _start_progress(self) -> Progress:
        if self.process.is_main:
            write_text(self.output / "config.yaml", to_yaml(self.experiment))
        return Progress(
            self.output,
            self.process,
            step=self.step,
            epoch=self.epoch,
            steps=self.steps,
            epochs=self.config.epochs,
            pairs=self.config.global_batch,
            log_every=self.config.log_every,
        )

    def _save(self, epoch_ended: bool = False) -> None:
        if not self.process.is_main:
            return
        state = {
            "model": self._own_weights(self._judged().model),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "seed": self.seed,
            "processes": self.process.world,
        }
        if self.average is not None:
            state["unaveraged"] = self._own_weights(self.actor.model)
        if self._over_base:
            state["beneath"] = {"pretrained": self.base.pretrained, "sha256": self._base_sum}
        if self.scaler.is_enabled():
            state["scaler"] = self.scaler.state_dict()
        if epoch_ended:
            self.checkpoints.save_epoch(state)
        else:
            self.checkpoints.save_last(state)
        self._saved_at = time.monotonic()

    def _own_weights(self, model: TrackingModel) -> dict[str, Tensor]:
        """The model's tensors, without the frozen ones if those are its base's."""
        beneath = self.base.names if self._over_base else ()
        return {name: value for name, value in model.state_dict().items() if name not in beneath}


def _millions(tensors: Iterable[Tensor]) -> float:
    return sum(tensor.numel() for tensor in tensors) / 1e6
